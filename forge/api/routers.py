"""Routes with and without the last slash: a redirect would lose the body of a POST."""

from __future__ import annotations

from typing import Any

from rest_framework.routers import SimpleRouter


class OptionalSlashRouter(SimpleRouter):
    """DRF's router, answering `/things` and `/things/` alike."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trailing_slash = "/?"
