"""gunicorn's lines about its own processes, in the one form of forge.logs (`--logger-class forge.weblog.Lines`)."""

from __future__ import annotations

from gunicorn.config import Config
from gunicorn.glogging import Logger

from forge import logs
from forge.settings import LOGGING


class Lines(Logger):
    """A line of JSON for each event, and none for each request: those have their own already (django_structlog).

    gunicorn's `logconfig_dict` would give the same lines, and make a second access log of every request on the way.
    """

    def setup(self, cfg: Config) -> None:
        """When it starts, and again when it is told to reload."""
        super().setup(cfg)
        logs.configure(LOGGING)
