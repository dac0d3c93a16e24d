"""List filters that never ignore what they do not know.

`?state=AVAILABLE`, `?created_at__gte=…`, `?state__in=A,B` come from a ForgeFilterSet; `?q=words` searches the view's
`search_fields`. An unknown, doubled or empty parameter is a 400 that names the known ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.db import models
from django.db.models import Q, QuerySet
from django_filters import fields
from django_filters import rest_framework as drf_filters
from django_filters.rest_framework.filterset import FILTER_FOR_DBFIELD_DEFAULTS
from drf_spectacular.drainage import set_override
from rest_framework.request import Request

from forge.api.errors import BadRequest, parameter_error
from forge.api.pagination import suggestion

SEARCH_MAX_LENGTH = 200
SEARCH_MAX_WORDS = 8


class UnknownParameter(BadRequest):
    code = "unknown_parameter"
    title = "The address has a parameter that is not known here"
    suggested_action = "Use one of the known parameters."


class InvalidParameter(BadRequest):
    code = "invalid_parameter"
    title = "A parameter's value is not valid"


class TrueOrFalseFilter(drf_filters.TypedChoiceFilter):
    """`true` or `false`; django-filter's own takes any other word for no filter at all."""

    def __init__(self, **kwargs: Any) -> None:
        choices = (("true", "true"), ("false", "false"))
        super().__init__(**kwargs | {"choices": choices, "coerce": lambda text: text == "true"})


class ChoiceInFilter(drf_filters.BaseInFilter, drf_filters.ChoiceFilter):
    """`?state__in=A,B`, each of which must be a state; django-filter's own takes any word."""


class WordFilter(drf_filters.CharFilter):
    """A word of one `shape` (a regular expression); another one is refused by `hint` instead of found nowhere."""

    field_class = forms.RegexField
    also = ""

    def __init__(self, *, shape: str, hint: str, **kwargs: Any) -> None:
        super().__init__(regex=shape, error_messages={"invalid": hint}, **kwargs)
        schema = {"type": "string", "pattern": shape, "description": f"{hint}{self.also}"}
        set_override(self, "field", schema)


class WordInFilter(drf_filters.BaseInFilter, WordFilter):
    """`?region__in=us-east-1,eu-west-1`, each of the shape."""

    also = " Multiple values may be separated by commas."


REGION = {"shape": "^[a-z]{2}(-[a-z]+)+-[0-9]$", "hint": "An AWS region such as us-east-1."}
WORDS = {
    "region": REGION,
    "kind": {"shape": "^[a-z_]+([.][a-z_]+)+$", "hint": "A kind such as workspace.launch."},
    "bundle_type": {"shape": "^[A-Z][A-Z0-9_]*$", "hint": "A bundle type such as STANDARD."},
}
"""By the name of a column without choices: which words stand in it."""


class InstantField(fields.IsoDateTimeField):
    """ISO 8601 with any offset, in UTC: PostgreSQL takes no offset of 16 hours or more."""

    default_error_messages = {"range": "It lies outside the years 1 to 9999."}

    def to_python(self, value: Any) -> datetime | None:
        instant = super().to_python(value)
        try:
            return instant and instant.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError(self.error_messages["range"], code="range") from None


class InstantFilter(drf_filters.IsoDateTimeFilter):
    field_class = InstantField


class WholeNumberFilter(drf_filters.NumberFilter):
    """django-filter's own asks a column of whole numbers for 0.5, too."""

    field_class = forms.IntegerField


_BY_ID = {"filter_class": drf_filters.UUIDFilter}
_WHOLE = {"filter_class": WholeNumberFilter}


class ForgeFilterSet(drf_filters.FilterSet):
    """A FilterSet whose relations are filtered by id, without looking whether the other row exists for the caller."""

    FILTER_DEFAULTS = FILTER_FOR_DBFIELD_DEFAULTS | {
        models.BooleanField: {"filter_class": TrueOrFalseFilter},
        models.DateTimeField: {"filter_class": InstantFilter},
        models.AutoField: _WHOLE,
        models.IntegerField: _WHOLE,
        models.BigIntegerField: _WHOLE,
        models.SmallIntegerField: _WHOLE,
        models.PositiveIntegerField: _WHOLE,
        models.PositiveSmallIntegerField: _WHOLE,
        models.ForeignKey: _BY_ID,
        models.OneToOneField: _BY_ID,
        models.GenericIPAddressField: {"filter_class": drf_filters.CharFilter},
    }

    @classmethod
    def filter_for_lookup(cls, field: models.Field, lookup_type: str) -> tuple[type[drf_filters.Filter] | None, dict]:
        if lookup_type == "in" and getattr(field, "choices", None):
            return ChoiceInFilter, {"choices": field.choices}
        if lookup_type in ("exact", "in") and field.name in WORDS and not getattr(field, "choices", None):
            return (WordInFilter if lookup_type == "in" else WordFilter), dict(WORDS[field.name])
        return super().filter_for_lookup(field, lookup_type)


class StrictFilterBackend(drf_filters.DjangoFilterBackend):
    """Filters lists by the view's filterset and `q`; refuses parameters that nothing reads.

    A view that reads further parameters names them in `extra_parameters`.
    """

    filterset_base = ForgeFilterSet

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        """The rows that the address asks for; raises UnknownParameter or InvalidParameter."""
        if getattr(view, "detail", False) or request.method not in ("GET", "HEAD"):
            return queryset  # one row by its address; ForgeViewSet checks the parameters of these requests
        filterset_class = self.get_filterset_class(view, queryset)
        filters = filterset_class.base_filters if filterset_class is not None else {}
        refuse_unknown(request, known_parameters(view, filters))
        if any(name in filters for name in request.query_params):  # making a filterset costs as much as a small query
            _refuse_empty(request.query_params, filters)
            queryset = _rows_of(self.get_filterset(request, queryset, view))
        fields = getattr(view, "search_fields", ())
        return search(queryset, request.query_params.get("q", ""), fields) if fields else queryset


def filtered(queryset: QuerySet, filterset_class: type[ForgeFilterSet], filters: Mapping[str, str]) -> QuerySet:
    """The rows for which `filters` ask as a list's address would; raises UnknownParameter or InvalidParameter."""
    _refuse_unknown_names(filters, filterset_class.base_filters)
    _refuse_empty(filters, filterset_class.base_filters)
    return _rows_of(filterset_class(data=filters, queryset=queryset))


def search(queryset: QuerySet, text: str, fields: Sequence[str]) -> QuerySet:
    """The rows in which each word of `text` stands in one of `fields`; raises InvalidParameter for too many words."""
    words = text.split()
    if len(words) > SEARCH_MAX_WORDS or sum(map(len, words)) > SEARCH_MAX_LENGTH:
        message = f"At most {SEARCH_MAX_WORDS} words and {SEARCH_MAX_LENGTH} characters."
        raise InvalidParameter("The search is too long.", errors=[parameter_error("q", message)])
    for word in words:
        found = Q()
        for field in fields:
            found |= Q(**{f"{field}__icontains": word})
        queryset = queryset.filter(found)
    return queryset


def known_parameters(view: Any, filters: Any = ()) -> list[str]:
    """Every query parameter that a list of `view` reads, in alphabetical order."""
    paginator = getattr(view, "paginator", None)
    known = {*filters, *getattr(paginator, "parameters", ()), *getattr(view, "extra_parameters", ())}
    if getattr(view, "search_fields", ()):
        known.add("q")
    return sorted(known)


def refuse_unknown(request: Request, known: Any) -> None:
    """Raise UnknownParameter unless the address has only `known` parameters, each once."""
    _refuse_unknown_names(request.query_params, known)
    doubled = [name for name, values in request.query_params.lists() if len(values) > 1]
    if doubled:
        message = "Give it once; several values go into `name__in=a,b` where that is known."
        raise InvalidParameter(
            "A parameter is given twice.", errors=[parameter_error(name, message, code="doubled") for name in doubled]
        )


def _refuse_unknown_names(names: Iterable[str], known: Any) -> None:
    errors = [
        parameter_error(name, "Not known here.", code="unknown", **suggestion(name, known))
        for name in names
        if name not in known
    ]
    if errors:
        shown = ", ".join(repr(error["parameter"][:80]) for error in errors[:5])
        raise UnknownParameter(f"Not known here: {shown}.", errors=errors[:50], extra={"known": sorted(known)})


def _refuse_empty(parameters: Mapping[str, str], filters: Any) -> None:
    empty = [
        name
        for name, value in parameters.items()
        if name in filters and not all(map(str.strip, value.split(",") if name.endswith("__in") else [value]))
    ]
    if empty:
        raise InvalidParameter(
            "A filter is empty.",
            errors=[parameter_error(name, "Give it a value or leave it away.", code="empty") for name in empty],
        )


def _rows_of(filterset: Any) -> QuerySet:
    if not filterset.is_valid():
        raise InvalidParameter("Some filters are not valid.", errors=_form_errors(filterset.errors))
    return filterset.qs


def _form_errors(errors: Any) -> list[dict[str, Any]]:
    return [
        parameter_error(name, " ".join(error.messages), code=error.code or "invalid")
        for name, found in errors.as_data().items()
        for error in found
    ]
