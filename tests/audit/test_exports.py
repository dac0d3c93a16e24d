"""`/api/v1/audit/export/`: exactly what the list shows under the same filters, for those who may, told by one entry."""

import csv
import io
import json
import re
import tracemalloc
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import searches
from audit.exports import rows
from audit.exports.formats import FIELDS, FORMATS
from audit.models import AuditLog
from audit.services import AuditUnavailable
from forge.accounts.models import Membership
from tests.audit.support import client_of, leave, leave_one, person
from tests.audit.test_api import FILTERS, WITH_PERSONAL
from tests.audit.test_indexes import FILL
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("without_whitenoise")]

LOG, EXPORT = "/api/v1/audit/", "/api/v1/audit/export/"
Role = Membership.Role
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def member(organization, role):
    team = {} if role in Membership.IN_TEAM else {"team": None}
    return MembershipFactory(user=UserFactory(organization=organization), role=role, **team).user


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def auditor(organization):
    return client_of(member(organization, Role.AUDITOR))


def content(response) -> bytes:
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def ids_in(content: bytes, form: str) -> list[int]:
    """The ids in a whole file, in its order; its last line must count them."""
    if form == "ndjson":
        *lines, last = [json.loads(line) for line in content.splitlines()]
        assert last == {"count": len(lines), "complete": True}
        return [line["id"] for line in lines]
    head, *lines, last = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    assert head == list(FIELDS)
    assert last[:2] == ["complete", str(len(lines))]
    return [int(line[0]) for line in lines]


def exports_told():
    return AuditLog.objects.filter(action_type="AUDIT_EXPORT").order_by("timestamp")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("query", [query for query, _ in FILTERS if "{" not in query])
def test_the_file_has_exactly_what_the_list_shows(organization, auditor, form, query):
    def actor(**fields):
        return person(organization_id=organization.id, **fields)

    leave_one(actor=actor(interface="CLI", source_ip="2001:db8::7"))
    leave_one(actor=actor(user_id=uuid.uuid4()), action=WITH_PERSONAL, resource_id="r-1")
    leave_one(actor=actor(source_ip="203.0.113.5"), resource_type="Machine", result="DENIED")
    leave_one()  # another organization's
    listed = [row["id"] for row in auditor.get(f"{LOG}?{query}").json()["results"]]
    assert ids_in(content(auditor.get(f"{EXPORT}?format={form}&{query}")), form) == listed[::-1]


@pytest.mark.parametrize("form", FORMATS)
def test_an_entry_is_exported_as_the_api_shows_it_with_times_of_six_digits(organization, auditor, form):
    actor = person(organization_id=organization.id)
    receipt = leave_one(
        actor=actor,
        action=WITH_PERSONAL,
        description='=HYPERLINK("x"), "quoted"\nand more',
        context={"email": "bob@example.com", "n": 1},
        changes={"before": None, "after": {"email": "bob@example.com"}},
    )
    shown = auditor.get(f"{LOG}{receipt.entry_id}/").json()
    response = auditor.get(f"{EXPORT}?format={form}&action_type=TEST_WITH_PERSONAL")
    assert re.fullmatch(rf'attachment; filename="audit-\d{{8}}T\d{{6}}Z\.{form}"', response["Content-Disposition"])
    assert response["Content-Type"].partition(";")[0] == FORMATS[form].media_type.partition(";")[0]
    text = content(response)
    if form == "ndjson":
        line = json.loads(text.splitlines()[0])
    else:
        head, record, _ = csv.reader(io.StringIO(text.decode(), newline=""))
        line = dict(zip(head, record, strict=True))
        assert line["action_description"] == f"'{shown['action_description']}"
        line["action_description"] = shown["action_description"]
        line |= {name: json.loads(line[name]) for name in ("id", "hash_version", "context", "changes", "erased")}
        line = {name: None if value == "" else value for name, value in line.items()}
    assert TIME.fullmatch(line["timestamp"])
    assert TIME.fullmatch(line["occurred_at"])
    times = ("timestamp", "occurred_at")
    assert {n: v for n, v in line.items() if n not in times} == {n: v for n, v in shown.items() if n not in times}


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_found_is_a_whole_file_too(auditor, form):
    assert ids_in(content(auditor.get(f"{EXPORT}?format={form}&q=no+such+words")), form) == []


@pytest.mark.parametrize("role", [Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD, Role.FINANCE])
def test_others_are_refused_and_the_refusal_is_told(organization, role):
    user = member(organization, role)
    response = client_of(user).get(f"{EXPORT}?format=csv")
    assert response.status_code == 403
    (told,) = exports_told()
    assert (told.result, told.user_id) == ("DENIED", user.id)


def test_each_export_leaves_one_entry_with_count_and_filters(organization, auditor):
    leave(3, actor=person(organization_id=organization.id))
    query = "resource_type=Thing&q=did&user_email=ann%40example.com"
    assert len(ids_in(content(auditor.get(f"{EXPORT}?format=ndjson&{query}")), "ndjson")) == 3
    (told,) = exports_told()
    assert (told.result, told.organization_id) == ("SUCCESS", organization.id)
    assert told.full_context["filters"] == query
    assert (told.context["format"], told.context["count"]) == ("ndjson", 3)
    assert "filters" not in told.context  # personal: it can be erased


def test_an_operator_exports_all_or_one_organization_which_sees_it(organization, auditor):
    operator = client_of(UserFactory(organization=None))
    mine = leave_one(actor=person(organization_id=organization.id)).entry_id
    other = leave_one().entry_id
    assert {mine, other} <= set(ids_in(content(operator.get(f"{EXPORT}?format=csv")), "csv"))
    found = ids_in(
        content(operator.get(f"{EXPORT}?format=csv&resource_type=Thing&organization_id={organization.id}")), "csv"
    )
    assert found == [mine]
    shown = auditor.get(f"{LOG}?action_type=AUDIT_EXPORT").json()["results"]
    assert len(shown) == 1


@pytest.mark.parametrize(
    "query", ["", "format=xml", "format=csv&colour=red", "format=csv&page_size=5", "format=csv&q="]
)
def test_what_cannot_be_meant_is_400_and_leaves_nothing(auditor, query):
    response = auditor.get(f"{EXPORT}?{query}")
    assert response.status_code == 400
    assert response.json()["errors"]
    assert not exports_told().exists()


def test_head_is_answered_without_an_entry_and_a_length(auditor):
    answer = auditor.head(f"{EXPORT}?format=csv")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert "Content-Length" not in answer
    assert not exports_told().exists()


def test_more_than_fits_one_answer_is_refused_with_the_way_on(organization, auditor, settings):
    settings.FORGE_EXPORT_STREAM_ENTRIES = 3
    leave(3, actor=person(organization_id=organization.id))
    assert len(ids_in(content(auditor.get(f"{EXPORT}?format=csv&resource_type=Thing")), "csv")) == 3
    leave_one(actor=person(organization_id=organization.id))
    response = auditor.get(f"{EXPORT}?format=csv&resource_type=Thing")
    assert (response.status_code, response.json()["code"], response.json()["limit"]) == (422, "export_too_large", 3)
    assert "/api/v1/audit/exports/" in response.json()["suggested_action"]
    assert [told.result for told in exports_told()] == ["SUCCESS", "DENIED"]


def test_no_byte_leaves_when_the_entry_cannot_be_written(auditor, monkeypatch):
    def broken(**entry):
        raise AuditUnavailable()

    monkeypatch.setattr("audit.exports.services.record", broken)
    assert auditor.get(f"{EXPORT}?format=csv").status_code == 503


def test_what_comes_while_the_file_is_read_is_not_in_it(organization, auditor, monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 2)
    before = [receipt.entry_id for receipt in leave(5, lane=3, actor=person(organization_id=organization.id))]
    pieces = iter(auditor.get(f"{EXPORT}?format=ndjson&resource_type=Thing").streaming_content)
    read = next(pieces) + next(pieces)
    leave(5, lane=3, actor=person(organization_id=organization.id))
    assert ids_in(read + b"".join(pieces), "ndjson") == before


def test_a_row_that_was_not_committed_at_the_cut_is_left_out_whatever_its_time(organization):
    """Its time may be earlier than the cut's: it was taken before its transaction committed."""
    leave(2, lane=3, actor=person(organization_id=organization.id))
    held = rows.cut()
    below = rows.Cut(held.as_of, {lane: seq - 1 for lane, seq in held.heads.items()})
    here = AuditLog.objects.filter(organization_id=organization.id)
    assert sum(map(len, rows.entries(here, held))) == 2
    assert sum(map(len, rows.entries(here, below))) == 1


def test_a_fault_in_the_middle_cuts_the_file_and_is_logged(organization, auditor, monkeypatch, caplog):
    monkeypatch.setattr(rows, "CHUNK", 2)
    leave(5, actor=person(organization_id=organization.id))
    real = rows.entries

    def failing(*args, **kwargs):
        yield next(real(*args, **kwargs))
        raise ConnectionError("the database went away")

    monkeypatch.setattr(rows, "entries", failing)
    pieces = iter(auditor.get(f"{EXPORT}?format=ndjson&resource_type=Thing").streaming_content)
    got = [next(pieces), next(pieces)]
    with pytest.raises(ConnectionError):
        next(pieces)
    assert b'"complete"' not in b"".join(got)
    assert "was cut after 2" in caplog.text


def test_a_caller_who_goes_away_is_logged(organization, auditor, monkeypatch, caplog):
    monkeypatch.setattr(rows, "CHUNK", 2)
    leave(5, actor=person(organization_id=organization.id))
    response = auditor.get(f"{EXPORT}?format=ndjson&resource_type=Thing")
    next(iter(response.streaming_content))
    response.close()
    assert "was cut after 0" in caplog.text


def test_rows_that_are_gone_meanwhile_are_no_whole_file(organization, auditor, monkeypatch):
    leave(3, actor=person(organization_id=organization.id))
    real = rows.entries
    monkeypatch.setattr(rows, "entries", lambda *args, **kwargs: (page[1:] for page in real(*args, **kwargs)))
    with pytest.raises(RuntimeError, match="2 entries were read of 3"):
        content(auditor.get(f"{EXPORT}?format=csv&resource_type=Thing"))


def test_the_number_of_queries_does_not_grow_with_what_is_found(organization, auditor):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            content(auditor.get(f"{EXPORT}?format=csv&resource_type=Thing"))
        return len(captured)

    leave_one(actor=person(organization_id=organization.id))
    queries()  # notes the use of the token
    few = queries()
    leave(200, actor=person(organization_id=organization.id))
    assert queries() == few


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_memory_does_not_grow_with_the_file(organization, auditor, superuser_connection, settings, scale):
    count = scale(200_000, 5_000)
    settings.FORGE_EXPORT_STREAM_ENTRIES = count + 100
    fill(superuser_connection, organization.id, count)
    response = auditor.get(f"{EXPORT}?format=csv&resource_type=Thing")
    size = lines = 0
    tracemalloc.start()
    try:
        for piece in response.streaming_content:
            size += len(piece)
            lines += piece.count(b"\r\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert lines == count + 2
    assert size > 300 * count
    assert peak < 8 * 1024 * 1024


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_a_search_that_reads_too_much_is_given_up_with_advice(organization, auditor, superuser_connection, monkeypatch):
    fill(superuser_connection, organization.id, 20_000)
    with monkeypatch.context() as hurried:
        hurried.setattr(searches, "SEARCH_SECONDS", 0.001)
        for address in (f"{LOG}?q=nowhere+to+be+found", f"{EXPORT}?format=csv&q=nowhere+to+be+found"):
            response = auditor.get(address)
            assert (response.status_code, response.json()["code"]) == (400, "search_too_wide"), response.json()
            assert "timestamp__gte" in response.json()["suggested_action"]
    assert auditor.get(f"{LOG}?page_size=1").status_code == 200


def fill(superuser, organization_id, count):
    """Forged rows in lane 7, with its head, over the 57 days to come, so over several months."""
    superuser.execute("SET session_replication_role = replica")
    figures = {"first": "now", "organization": organization_id, "start": (7 << 44) + 1, "count": count}
    superuser.execute(FILL, figures)
    superuser.execute("UPDATE audit_auditlane SET lane_seq = %s WHERE lane = 7", [count])
