"""What the process has loaded from which tests.races.forked forks the others: Forge, and no connection."""

import os

import django
from django.apps import apps

from forge.db import scope

if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")
    django.setup()
    scope.process_is_system()
