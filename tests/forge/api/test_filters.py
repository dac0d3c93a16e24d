from datetime import UTC, datetime, timedelta

import pytest

from forge.accounts.models import Membership
from forge.api.filters import ForgeFilterSet, TrueOrFalseFilter
from forge.db.models import JobRun, JobSwitch

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def runs():
    outcomes = ["RUNNING", "FAILED", "PAUSED", "LOST"]
    return JobRun.objects.bulk_create(
        JobRun(
            job=f"job {number}",
            slot=NOON + timedelta(hours=number),
            started_at=NOON + timedelta(hours=number),
            outcome=outcomes[number],
            attempt=number + 1,
            error="the disk is full" if number == 1 else "",
        )
        for number in range(4)
    )


def found(client, **parameters):
    answer = client.get("/api/v1/runs/", parameters)
    assert answer.status_code == 200, answer.json()
    return [row["job"] for row in answer.json()["results"]]


def refused(client, query):
    answer = client.get(f"/api/v1/runs/?{query}")
    assert answer.status_code == 400, answer.content
    return answer.json()


def test_filters_narrow_a_list(client, runs):
    assert found(client, outcome="FAILED") == ["job 1"]
    assert found(client, outcome__in="FAILED,LOST") == ["job 1", "job 3"]
    assert found(client, started_at__gte="2026-03-01T13:00:00Z", started_at__lt="2026-03-01T15:00:00+00:00") == [
        "job 1",
        "job 2",
    ]
    assert found(client, attempt__gte="3") == ["job 2", "job 3"]


def test_words_are_searched_in_every_search_field_and_must_all_be_found(client, runs):
    assert found(client, q="DISK") == ["job 1"]
    assert found(client, q="job full") == ["job 1"]
    assert found(client, q="job nothing") == []
    assert found(client, q="  ") == ["job 0", "job 1", "job 2", "job 3"]
    assert found(client, q="100%_'") == []


def test_an_unknown_parameter_is_refused_naming_the_known_ones(client):
    document = refused(client, "outcom=FAILED")
    assert document["code"] == "unknown_parameter"
    assert document["errors"] == [
        {"parameter": "outcom", "code": "unknown", "message": "Not known here.", "did_you_mean": "outcome"}
    ]
    assert document["known"] == [
        "attempt", "attempt__gte", "cursor", "ordering", "outcome", "outcome__in", "page_size", "q",
        "started_at__gte", "started_at__lt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("outcome=GREAT", "outcome"),
        ("outcome__in=FAILED,GREAT", "outcome__in"),
        ("started_at__gte=yesterday", "started_at__gte"),
        ("started_at__gte=2026-02-30T00:00:00Z", "started_at__gte"),
        ("started_at__gte=0001-01-01T00:00:00%2B14:00", "started_at__gte"),
        ("attempt=one", "attempt"),
        ("attempt=0.5", "attempt"),
        ("outcome__in=,", "outcome__in"),
        ("outcome__in=FAILED,", "outcome__in"),
        ("attempt=NaN", "attempt"),
        ("attempt=1e400", "attempt"),
        ("outcome=", "outcome"),
        ("attempt=%20", "attempt"),
        ("outcome=FAILED&outcome=LOST", "outcome"),
        ("q=" + "x" * 500, "q"),
        ("q=" + "a+" * 50, "q"),
    ],
)
def test_a_value_that_is_not_valid_is_refused_naming_its_parameter(client, query, parameter):
    answer = client.get(f"/api/v1/runs/?{query}")
    assert answer.status_code == 400, answer.content
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]
    assert answer.json()["code"] == "invalid_parameter"


@pytest.mark.parametrize("query", ["q=%00", "outcome=a%00", "%00=1"])
def test_a_nul_byte_in_the_address_is_refused(client, query):
    assert refused(client, query)["code"] == "invalid"


def test_a_nul_byte_in_the_path_is_refused(client):
    answer = client.get("/api/v1/runs/%00/")
    assert answer.status_code == 400
    assert client.get("/page/?error=%00").status_code == 400


def test_an_offset_that_postgresql_would_not_take_is_an_offset_all_the_same(client, runs):
    assert len(found(client, started_at__gte="0636-10-12T23:40:53+18:16")) == 4
    assert found(client, started_at__gte="2026-03-02T08:59:00+18:59") == ["job 2", "job 3"]


def test_an_order_that_is_empty_is_none(client):
    assert refused(client, "ordering=")["code"] == "unknown_ordering"


def test_the_longest_of_numbers_find_nothing_and_break_nothing(client, runs):
    assert found(client, attempt__gte="9" * 40) == []


def test_parameters_of_details_and_writes_are_strict_too(client, runs):
    assert client.get(f"/api/v1/runs/{runs[0].pk}/?page_size=3").status_code == 400
    assert client.post("/api/v1/switches/?dryrun=true", {"job": "a"}).status_code == 400
    assert client.post("/api/v1/switches/?dry_run=yes", {"job": "a"}).status_code == 400
    assert not JobSwitch.objects.exists()


def test_true_or_false_takes_no_other_word():
    class Switches(ForgeFilterSet):
        class Meta:
            model = JobSwitch
            fields = ["is_paused"]

    assert isinstance(Switches.base_filters["is_paused"], TrueOrFalseFilter)
    on = JobSwitch.objects.create(job="a")
    JobSwitch.objects.create(job="b", is_paused=False)
    assert list(Switches({"is_paused": "true"}, queryset=JobSwitch.objects.all()).qs) == [on]
    for word in ("banana", "1", "True", "null"):
        assert not Switches({"is_paused": word}, queryset=JobSwitch.objects.all()).is_valid()


def test_relations_are_filtered_by_id_without_a_query_for_the_other_row(django_assert_num_queries):
    class RoleFilterSet(ForgeFilterSet):
        class Meta:
            model = Membership
            fields = ["user"]

    with django_assert_num_queries(0):
        assert RoleFilterSet(
            {"user": "0190f5a2-0000-7000-8000-000000000000"}, queryset=Membership.objects.all()
        ).is_valid()
        assert not RoleFilterSet({"user": "1"}, queryset=Membership.objects.all()).is_valid()


def test_paths_work_with_and_without_the_last_slash(client, runs):
    for address in ("/api/v1/runs", "/api/v1/runs/", f"/api/v1/runs/{runs[0].pk}", f"/api/v1/runs/{runs[0].pk}/"):
        assert client.get(address).status_code == 200
    assert client.post("/api/v1/switches", {"job": "a"}).status_code == 201


@pytest.mark.parametrize("pk", ["none", "9" * 40, "%27", "1.5"])
def test_an_id_of_the_wrong_form_is_not_found(client, pk):
    answer = client.get(f"/api/v1/runs/{pk}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
