"""The Celery application: `celery -A forge worker`, `celery -A forge beat`."""

import os
from typing import Any

from celery import Celery, Task, signals
from django.conf import settings

from forge import logs
from forge.db import scope

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")


class SystemTask(Task):
    """A task works in the system's scope; what it does for one organization narrows it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with scope.system():
            return super().__call__(*args, **kwargs)


app = Celery("forge", task_cls=SystemTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add("forge.metrics.exporter:Exporter")


@signals.setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Log as the rest of Forge does: a receiver of this signal keeps Celery from setting up handlers of its own."""
    logs.configure(settings.LOGGING)
