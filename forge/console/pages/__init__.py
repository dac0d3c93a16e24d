"""What stands above the fields on the pages of single rows, where it takes more than the row's own room."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import HttpRequest

PAGES: dict[str, Callable[[HttpRequest, Any, datetime], dict[str, Any]]] = {}
"""By the label of the model: what makes the context of the page, with the `template` that shows it."""
