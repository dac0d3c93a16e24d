"""A project with django-pghistory."""

from tests.bench.peers.common import database, schema_of

SECRET_KEY = "a-secret-key-for-benchmarks-that-signs-nothing-of-value"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = database("with_pghistory")
INSTALLED_APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "pgtrigger", "pghistory", "tests.bench.peers.with_pghistory",
]  # fmt: skip
PGTRIGGER_SCHEMA = schema_of("with_pghistory")
