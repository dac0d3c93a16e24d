import json
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db import models
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import renderers, serializers

from forge.api.renderers import JSONRenderer
from forge.api.serializers import QuickRows
from forge.db.models import JobRun, JobSwitch

EAST = timezone(timedelta(hours=5, minutes=30))


class Colour(models.TextChoices):
    RED = "RED", "Red"


class Inner(serializers.Serializer):
    slug = serializers.CharField()


class Everything(serializers.Serializer):
    text = serializers.CharField()
    email = serializers.EmailField()
    number = serializers.IntegerField()
    flag = serializers.BooleanField(allow_null=True)
    key = serializers.UUIDField()
    short_key = serializers.UUIDField(source="key", format="hex")
    colour = serializers.ChoiceField(Colour.choices)
    at = serializers.DateTimeField()
    at_day = serializers.DateTimeField(source="at", format="%Y")
    day = serializers.DateField()
    money = serializers.DecimalField(max_digits=18, decimal_places=6)
    tags = serializers.JSONField()
    anything = serializers.ReadOnlyField()
    called = serializers.CharField(source="method")
    team = serializers.CharField(source="team.slug", allow_null=True)
    project = serializers.CharField(source="project.slug", default=None)
    fallback = serializers.CharField(source="project.slug", default="none")
    left_out = serializers.CharField(source="project.slug", read_only=True)
    inner = Inner(source="team")
    many = Inner(many=True)
    shout = serializers.SerializerMethodField()
    secret = serializers.CharField(write_only=True)

    def get_shout(self, row):
        return f"{row.text}! {self.context['word']}"


class QuickEverything(QuickRows, Everything):
    pass


def row(**fields):
    team = SimpleNamespace(slug="red")
    return SimpleNamespace(
        **{
            "text": "tea",
            "email": "a@example.com",
            "number": 7,
            "flag": True,
            "key": uuid.UUID(int=5),
            "colour": Colour.RED,
            "at": datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC),
            "day": date(2026, 3, 1),
            "money": Decimal("1.5"),
            "tags": {"a": [1]},
            "anything": ("x", 1),
            "method": lambda: "called",
            "team": team,
            "project": team,
            "many": [team, team],
            **fields,
        }
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"project": None},
        {"flag": None, "money": None, "at": None, "key": None, "colour": None, "tags": None, "text": None},
        {
            "flag": "yes",
            "colour": "BLUE",
            "number": "8",
            "at": datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=5))),
        },
        {"colour": "", "text": "", "many": []},
    ],
)
def test_quick_rows_show_exactly_what_drf_shows(fields):
    context = {"context": {"word": "hear"}}
    quick, slow = QuickEverything(row(**fields), **context).data, Everything(row(**fields), **context).data
    assert quick == slow
    assert list(quick) == list(slow)
    rows = [row(**fields), row()]
    assert QuickEverything(rows, many=True, **context).data == Everything(rows, many=True, **context).data


@pytest.mark.django_db
def test_quick_rows_of_models_and_of_values_show_what_drf_shows():
    class Runs(serializers.ModelSerializer):
        class Meta:
            model = JobRun
            fields = "__all__"

    class Switches(serializers.ModelSerializer):
        class Meta:
            model = JobSwitch
            fields = "__all__"

    JobRun.objects.create(job="a", slot=datetime(2026, 3, 1, tzinfo=UTC), started_at=datetime(2026, 3, 1, tzinfo=UTC))
    JobSwitch.objects.create(job="a", organization_id=uuid.uuid4())
    for slow, rows in ((Runs, JobRun.objects.all()), (Switches, JobSwitch.objects.all())):
        quick = type("Quick", (QuickRows, slow), {})
        assert quick(rows, many=True).data == slow(rows, many=True).data
        assert quick(rows.values(), many=True).data == slow(rows.values(), many=True).data


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False) | st.uuids() | st.dates()
    | st.datetimes(timezones=st.sampled_from([UTC, EAST]))
    | st.timedeltas(timedelta(0), timedelta(days=400)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_orjson_writes_what_drf_writes(value):
    assert json.loads(JSONRenderer().render({"value": value})) == json.loads(
        renderers.JSONRenderer().render({"value": value})
    )


def test_orjson_writes_lazy_text_querysets_words_and_numbers_of_any_size():
    data = {"text": gettext_lazy("Save"), "big": 10**30, 5: Colour.RED, "tuple": (1, 2), "set": {"x"}}
    assert json.loads(JSONRenderer().render(data)) == json.loads(renderers.JSONRenderer().render(data))
    assert JSONRenderer().render(None) == b""
    assert b"\n" in JSONRenderer().render(data, "application/json; indent=4")
