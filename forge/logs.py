"""The log: one event a line on standard error, with whatever it belongs to.

A line of JSON has `event`, `level`, `logger`, `timestamp` (UTC) and, where there is one, `request_id` and `user_id` of
the request, `job` of the schedule, `operation_id` and `correlation_id` of an operation, and `exception`. Django's own
lines and those of the libraries pass through the same pipeline. Addresses of requests are written without their query,
in which people's names and mail addresses are searched for; tracebacks without the values of variables.
"""

from __future__ import annotations

import logging.config
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter

ROOMS = ("forge", "audit", "blueprints", "workspaces", "costs", "budgets", "django_structlog", "celery")
"""Whose lines are written from FORGE_LOG_LEVEL on, with what Celery takes up and ends; all others from WARNING on."""


def without_query(logger: object, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Cut the query from `request`, which is "GET /path?query"."""
    if isinstance(event.get("request"), str):
        event["request"] = event["request"].partition("?")[0]
    return event


_SHARED: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    without_query,
]

_FORMATS: dict[str, list[structlog.types.Processor]] = {
    "json": [
        ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ],
    "console": [
        ProcessorFormatter.remove_processors_meta,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ],
}
FORMATS = tuple(_FORMATS)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def settings(*, form: str, level: str) -> dict[str, Any]:
    """The value of Django's LOGGING: `form` is one of FORMATS, `level` a name of the standard library."""
    rooms: dict[str, Any] = {name: {"level": level} for name in ROOMS}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"()": ProcessorFormatter, "foreign_pre_chain": _SHARED, "processors": _FORMATS[form]},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": rooms
        | {
            "django": {"handlers": [], "level": "WARNING"},
            "django.server": {"handlers": [], "level": "INFO", "propagate": True},
            "gunicorn.error": {"handlers": [], "level": level, "propagate": True},  # all that it says, errors or not
        },
    }


def configure(logging_settings: dict[str, Any]) -> None:
    """What Django calls as LOGGING_CONFIG when a process starts."""
    logging.config.dictConfig(logging_settings)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
