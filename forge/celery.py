"""The Celery application: `celery -A forge worker`, `celery -A forge beat`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")

app = Celery("forge")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add("forge.metrics.exporter:Exporter")
