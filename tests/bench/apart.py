"""A process of a benchmark that uses the product's own code: `python -m tests.bench.apart DOTTED.PATH ARGUMENTS…`."""

from __future__ import annotations

import sys

import django
from django.utils.module_loading import import_string

from forge.db import scope

if __name__ == "__main__":
    django.setup()
    scope.process_is_system()
    import_string(sys.argv[1])(*sys.argv[2:])
