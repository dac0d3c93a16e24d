"""SQL expressions of the models and their migrations."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import DateTimeRangeField
from django.db.models import DateTimeField, Func

NO_ORGANIZATION = uuid.UUID(int=0)
"""Stands for "all organizations" where PostgreSQL must compare: NULL excludes nothing."""


class Period(Func):
    """A half-open period [from, to) as a range; an empty end is open."""

    function = "TSTZRANGE"
    output_field = DateTimeRangeField()


class HourOf(Func):
    """The start of the UTC hour that holds an instant; immutable, unlike DATE_TRUNC of a timestamptz."""

    function = "DATE_BIN"
    template = "%(function)s('1 hour', %(expressions)s, '2000-01-01 00:00:00+00')"
    output_field = DateTimeField()
