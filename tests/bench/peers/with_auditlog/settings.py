"""A project with django-auditlog."""

from tests.bench.peers.common import database

SECRET_KEY = "a-secret-key-for-benchmarks-that-signs-nothing-of-value"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = database("with_auditlog")
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "auditlog", "tests.bench.peers.with_auditlog"]
