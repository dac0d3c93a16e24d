import base64
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import DecimalField, F, Value
from django.db.models.functions import Cast
from django.test.utils import CaptureQueriesContext

from forge.api.keysets import InvalidCursor, Keyset
from forge.db.models import JobRun, JobSwitch

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_runs(count, *, started=lambda i: NOON, finished=lambda i: None, job=lambda i: "job", attempt=lambda i: 1):
    return JobRun.objects.bulk_create(
        JobRun(
            job=job(i),
            slot=NOON + timedelta(minutes=i),
            started_at=started(i),
            finished_at=finished(i),
            attempt=attempt(i),
        )
        for i in range(count)
    )


def walk(client, first, direction="next"):
    """All pages from `first` on, in the order in which they were got."""
    pages, url = [], first
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.json()
        pages.append(answer.json())
        url = pages[-1][direction]
    return pages


def ids(pages):
    return [row["id"] for page in pages for row in page["results"]]


def test_five_thousand_equal_sort_keys_are_walked_both_ways_without_a_lost_or_doubled_row(client):
    everything = sorted(run.id for run in make_runs(5000))

    forward = walk(client, "/api/v1/runs/?ordering=started_at&page_size=333")
    assert ids(forward) == everything
    assert forward[0]["previous"] is None

    back = walk(client, forward[-1]["previous"], "previous")
    assert ids(reversed(back)) == everything[: -len(forward[-1]["results"])]


@pytest.mark.parametrize("ordering", ["finished_at", "-finished_at", "job", "-job", "-attempt", "id", "-id"])
def test_nulls_and_ties_of_every_type_are_walked_completely_in_both_directions(client, ordering):
    make_runs(
        60,
        finished=lambda i: None if i % 3 == 0 else NOON + timedelta(microseconds=i // 7),
        job=lambda i: ["alpha", "Beta", "ümläut", "'; DROP"][i % 4],
        attempt=lambda i: i % 5,
    )
    field = ordering.removeprefix("-")
    order = [F(name).desc() if ordering.startswith("-") else F(name).asc() for name in dict.fromkeys((field, "id"))]
    expected = list(JobRun.objects.order_by(*order).values_list("id", flat=True))

    forward = walk(client, f"/api/v1/runs/?ordering={ordering}&page_size=7")
    assert ids(forward) == expected
    last = len(forward[-1]["results"])
    back = walk(client, forward[-1]["previous"], "previous")
    assert ids(reversed(back)) == expected[:-last]
    assert ids(walk(client, back[-1]["next"])) == expected[7:]


def test_rows_written_while_one_walks_neither_shift_nor_double_the_others(client):
    before = {run.id for run in make_runs(30)}
    page = client.get("/api/v1/runs/?ordering=started_at&page_size=10").json()
    JobRun.objects.create(job="early", slot=NOON - timedelta(days=1), started_at=NOON - timedelta(days=1))
    JobRun.objects.filter(id=page["results"][-1]["id"]).delete()  # the very row at which the cursor stands

    seen = ids([page, *walk(client, page["next"])])

    assert len(seen) == len(set(seen))
    assert set(seen) == before


def test_a_page_whose_rows_have_all_gone_still_shows_the_way_back(client):
    runs = make_runs(20)
    page = client.get("/api/v1/runs/?ordering=started_at&page_size=10").json()
    JobRun.objects.filter(id__in=[run.id for run in runs[10:]]).delete()

    empty = client.get(page["next"]).json()
    assert empty["results"] == []
    assert empty["next"] is None
    assert [row["id"] for row in client.get(empty["previous"]).json()["results"]] == [run.id for run in runs[:10]]


def test_the_comparison_is_one_row_value_that_an_index_serves(client):
    make_runs(3)
    page = client.get("/api/v1/runs/?ordering=started_at&page_size=2").json()
    with CaptureQueriesContext(connection) as queries:
        client.get(page["next"])
    [sql] = [query["sql"] for query in queries if "db_jobrun" in query["sql"]]
    assert re.search(r'\("db_jobrun"."started_at", "db_jobrun"."id"\) > \(', sql)
    assert "COUNT" not in sql
    assert "OFFSET" not in sql


@pytest.mark.parametrize("size", ["0", "1001", "-1", "ten", "", "1e2", "٣", "5.0", "9" * 400])
def test_a_page_size_outside_1_to_1000_is_refused(client, size):
    answer = client.get("/api/v1/runs/", {"page_size": size})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_page"
    assert answer.json()["errors"][0]["parameter"] == "page_size"


@pytest.mark.parametrize("size", ["1", "1000"])
def test_page_sizes_1_and_1000_are_served(client, size):
    assert client.get("/api/v1/runs/", {"page_size": size}).status_code == 200


def test_an_unknown_ordering_is_refused_naming_the_legal_ones(client):
    answer = client.get("/api/v1/runs/?ordering=-start_at")
    assert answer.status_code == 400
    document = answer.json()
    assert document["code"] == "unknown_ordering"
    assert document["known"] == ["attempt", "finished_at", "id", "job", "started_at"]
    assert document["errors"][0]["did_you_mean"] == "started_at"


def cursor_of(*parts):
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "not base64 at all!",
        "A" * 5000,
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 1400).decode(),
        cursor_of("started_at", 0, "2026-03-01T12:00:00+00:00"),
        cursor_of("-started_at", 0, "2026-03-01T12:00:00+00:00", 5),
        cursor_of("started_at", 0, None, 5),
        cursor_of("started_at", 0, "2026-03-01T12:00:00+00:00", None),
        cursor_of("started_at", 0, "2026-03-01", 5),
        cursor_of("started_at", 0, "2026-03-01T12:00:00", 5),
        cursor_of("started_at", 0, "0001-01-01T00:00:00+14:00", 5),
        cursor_of("started_at", 0, "9999-12-31T23:59:59-14:00", 5),
        cursor_of("started_at", 0, 5, 5),
        cursor_of("started_at", 0, {"a": 1}, 5),
        cursor_of("started_at", 7, "2026-03-01T12:00:00+00:00", 5),
        cursor_of("started_at", 1.0, "2026-03-01T12:00:00+00:00", 5),
        cursor_of("started_at", True, "2026-03-01T12:00:00+00:00", 5),
        cursor_of("started_at", 0, "2026-03-01T12:00:00+00:00", "five"),
        cursor_of("started_at", 0, "2026-03-01T12:00:00+00:00", [5]),
    ],
)
def test_a_malformed_cursor_is_a_400(client, cursor):
    answer = client.get("/api/v1/runs/", {"cursor": cursor, "ordering": "started_at"})
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["parameter"] == "cursor"


@pytest.mark.parametrize("text", ["with\x00nul", "half \ud800 pair"])
def test_text_that_postgresql_cannot_hold_is_no_cursor(client, text):
    answer = client.get("/api/v1/runs/", {"cursor": cursor_of("job", 0, text, 5), "ordering": "job"})
    assert answer.status_code == 400


def test_a_cursor_may_name_an_id_beyond_any_row(client):
    make_runs(2)
    cursor = cursor_of("started_at", 0, "2026-03-01T12:00:00+00:00", 10**30)
    answer = client.get("/api/v1/runs/", {"cursor": cursor, "ordering": "started_at"})
    assert answer.status_code == 200
    assert answer.json()["results"] == []


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+900000", "0x1", 5, None])
def test_a_decimal_cursor_takes_only_finite_numbers_of_a_sensible_size(value):
    keyset = decimal_keyset()[1]
    with pytest.raises(InvalidCursor):
        keyset.decode(cursor_of("cost", 0, value, 5))


def decimal_keyset():
    runs = JobRun.objects.annotate(cost=Cast(F("attempt"), DecimalField(max_digits=18, decimal_places=6)) / Value(3))
    keyset = Keyset.of(runs, "cost", "cost", descending=False)
    return runs, Keyset(keyset.name, keyset.path, keyset.descending, keyset.field, keyset.pk, nullable=False)


def test_a_decimal_annotation_orders_a_list_exactly():
    make_runs(30, attempt=lambda i: i % 4)
    runs, keyset = decimal_keyset()
    seen, position = [], None
    while rows := list(keyset.apply(runs, position)[:4]):
        seen += rows
        position = keyset.decode(keyset.encode(keyset.position_of(rows[-1])))
    assert [row.id for row in seen] == [row.id for row in runs.order_by("cost", "id")]
    assert isinstance(position.value, Decimal)


def test_uuid_keys_and_rows_of_values_querysets_order_a_list():
    for number in range(25):
        JobSwitch.objects.create(job=f"job-{number % 3}", organization_id=uuid.UUID(int=number))
    switches = JobSwitch.objects.values("id", "job")
    keyset = Keyset.of(switches, "job", "job", descending=True)
    seen, position = [], None
    while rows := list(keyset.apply(switches, position)[:4]):
        seen += rows
        position = keyset.decode(keyset.encode(keyset.position_of(rows[-1])))
    assert seen == list(switches.order_by("-job", "-id"))
