"""Calls upwards: the dotted paths in settings by which a lower room reaches a higher one.

Nothing is cached here: `import_string` of a loaded module is a dictionary look-up, and a path that is resolved at each
call follows a changed setting. The system check forge.E020 resolves every path at start-up (forge.checks).
"""

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


def resolve(path: str) -> Any:
    """The object at the dotted `path`; raises ImportError when there is none."""
    return import_string(path)


def call_all(setting_name: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Call each port of the list `settings.<setting_name>` in order and return their answers in that order.

    A port that refuses raises, and those after it are not called: the caller's transaction ends with it.
    """
    return [resolve(path)(*args, **kwargs) for path in getattr(settings, setting_name)]
