"""A project with django-simple-history."""

from tests.bench.peers.common import database

SECRET_KEY = "a-secret-key-for-benchmarks-that-signs-nothing-of-value"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = database("with_simple_history")
INSTALLED_APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "simple_history", "tests.bench.peers.with_simple_history",
]  # fmt: skip
