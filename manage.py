#!/usr/bin/env python
"""Run a management command: `python manage.py help` lists them."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from forge.db import scope

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forge.settings")
    scope.process_is_system()  # a command that works for one organization narrows it
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"manage.py: {error}\n")
        sys.exit(2)  # not 1, which is an answer of audit_verify
    except KeyboardInterrupt:
        sys.stderr.write("\nmanage.py: stopped by Ctrl-C.\n")  # a prompt, or ^C, has begun the line before
        sys.exit(130)
