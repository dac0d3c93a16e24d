import os
import signal
import threading
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.test import override_settings
from django.utils import timezone

from forge.api import idempotency
from forge.api.idempotency import purge_idempotency_keys
from forge.api.models import IdempotencyKey
from forge.db.models import JobSwitch

ADDRESS = "/api/v1/switches/"


def post(client, job="a", key="key-1", address=ADDRESS, **headers):
    if key is not None:
        headers["HTTP_IDEMPOTENCY_KEY"] = key
    return client.post(address, {"job": job}, format="json", **headers)


def jobs():
    return sorted(JobSwitch.objects.values_list("job", flat=True))


@pytest.mark.django_db
def test_the_same_request_gets_the_same_answer_and_one_effect(client):
    first, again = post(client), post(client)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first.headers["Location"] == again.headers["Location"]
    assert first.headers["Content-Type"] == again.headers["Content-Type"] == "application/json"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Audit-Receipt"] == f"1-2-{first.json()['id'].replace('-', '')}"
    assert jobs() == ["a"]


@pytest.mark.django_db
def test_without_a_key_each_request_has_its_own_effect(client):
    assert post(client, key=None).json()["id"] != post(client, key=None).json()["id"]
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db
def test_the_address_counts_without_its_last_slash(client):
    assert post(client).content == post(client, address=ADDRESS.rstrip("/")).content
    assert jobs() == ["a"]


@pytest.mark.django_db
def test_the_address_counts_with_its_parameters(client):
    first = post(client)
    other = post(client, address=f"{ADDRESS}?dry_run=false")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert post(client).content == first.content
    assert jobs() == ["a"]


@pytest.mark.django_db
def test_a_key_belongs_to_its_credential(make_client):
    assert post(make_client("ann")).json()["id"] != post(make_client("bob")).json()["id"]


@pytest.mark.django_db
def test_the_same_key_with_another_body_or_address_is_refused(client):
    first = post(client)
    other_body = post(client, job="b")
    bump = f"{ADDRESS}{first.json()['id']}/bump/"
    assert (other_body.status_code, other_body.json()["code"]) == (422, "idempotency_key_reused")
    assert post(client, address=bump).status_code == 200  # not an idempotent endpoint: it reads no key
    assert jobs() == ["a"]
    assert post(client).content == first.content


@pytest.mark.django_db
def test_a_refusal_leaves_nothing_but_its_answer_its_key_and_its_denied_entry(client):
    first, again = post(client, job="refuse"), post(client, job="refuse")
    assert first.status_code == again.status_code == 422
    assert first.content == again.content
    assert first.json()["limit"] == 3
    assert again.headers["Content-Type"] == "application/problem+json"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Audit-Receipt"] == "9-9-denied"
    assert jobs() == ["DENIED"]


@pytest.mark.django_db
@override_settings(FORGE_REFUSAL_RECORDER="tests.forge.api.support.refusal_that_cannot_be_recorded")
def test_a_refusal_that_cannot_be_recorded_keeps_neither_key_nor_entry(client):
    assert post(client, job="refuse").status_code == 500
    assert jobs() == []
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(("job", "status"), [("conflict", 409), ("teapot", 418), ("crash", 500), ("busy", 503)])
def test_any_other_answer_is_not_kept_and_the_key_may_be_used_again(client, job, status):
    assert post(client, job=job).status_code == status
    assert jobs() == []
    assert not IdempotencyKey.objects.exists()
    assert post(client, job="a").status_code == 201


@pytest.mark.django_db
def test_an_invalid_body_and_a_missing_sign_in_keep_no_key(client):
    assert post(client, job="x" * 50).status_code == 400
    client.credentials()
    assert post(client).status_code == 401
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db
def test_a_dry_run_reads_no_key(client):
    dry = f"{ADDRESS}?dry_run=true"
    assert post(client, address=dry).json() == post(client, address=dry).json() == {"would": "create"}
    assert post(client).status_code == 201
    assert jobs() == ["a"]


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ümlaut", "\x7f", "new\nline"])
def test_a_key_that_is_not_printable_ascii_of_1_to_255_is_a_400(client, key):
    answer = post(client, key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert jobs() == []


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["x", "~" * 255, '"quoted"', "with space", "';--"])
def test_every_printable_key_works(client, key):
    assert post(client, key=key).content == post(client, key=key).content


@pytest.mark.django_db
def test_a_key_is_free_again_after_24_hours(client):
    first = post(client)
    assert IdempotencyKey.objects.get().expires_at - IdempotencyKey.objects.get().created_at == timedelta(hours=24)
    IdempotencyKey.objects.update(expires_at=timezone.now())
    second = post(client, job="b")
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]
    assert post(client, job="b").content == second.content


@pytest.mark.django_db
def test_the_purge_removes_expired_keys_only_however_many(client):
    for number in range(7):
        post(client, key=f"key-{number}")
    IdempotencyKey.objects.filter(key__gt="key-1").update(expires_at=timezone.now())
    assert purge_idempotency_keys(now=timezone.now(), batch=2) == {"deleted": 5}
    assert IdempotencyKey.objects.count() == 2


@pytest.mark.django_db
def test_what_waits_for_the_commit_happens_once_and_after_it(client, django_capture_on_commit_callbacks, monkeypatch):
    rung = []
    created = JobSwitch.objects.create

    def create_and_ring(**fields):
        transaction.on_commit(lambda: rung.append(IdempotencyKey.objects.filter(status=201).count()))
        return created(**fields)

    monkeypatch.setattr(JobSwitch.objects, "create", create_and_ring)
    with django_capture_on_commit_callbacks(execute=True):
        post(client)
        post(client)
    assert rung == [1]


def together(count, call):
    """Run `call(number)` in `count` threads that start at once; their answers."""
    barrier, answers = threading.Barrier(count), [None] * count

    def run(number):
        barrier.wait()
        try:
            answers[number] = call(number)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("job", "status", "left"), [("a", 201, ["a"]), ("refuse", 422, ["DENIED"])])
def test_fifty_twins_at_once_have_one_effect_and_one_answer(make_client, job, status, left):
    clients = [make_client() for _ in range(50)]
    answers = together(50, lambda number: post(clients[number], job=job))
    assert {answer.status_code for answer in answers} == {status}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers].count("true") == 49
    assert jobs() == left


@pytest.mark.django_db(transaction=True)
def test_twins_of_a_failure_each_try_in_turn_and_leave_nothing(make_client):
    clients = [make_client() for _ in range(8)]
    answers = together(8, lambda number: post(clients[number], job="conflict"))
    assert {answer.status_code for answer in answers} == {409}
    assert {answer.json()["code"] for answer in answers} == {"switch_gone"}
    assert jobs() == []
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_twin_of_a_request_that_goes_on_too_long_is_told_to_come_again(client, make_app_connection, monkeypatch):
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.05)
    running = make_app_connection()
    running.execute(
        "INSERT INTO api_idempotencykey (credential, key, request_hash, headers, body, receipt, created_at, expires_at)"
        " VALUES ('token:ann', 'key-1', '', '{}', '', '', now(), now() + interval '1 day')"
    )
    answer = post(client)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
    assert answer.json()["retryable"] is True
    assert answer.headers["Retry-After"] == "1"
    assert jobs() == []

    running.rollback()
    assert post(client).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_the_effect_itself_waits_for_locks_as_long_as_ever(client, monkeypatch):
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        usual = cursor.fetchone()
    seen = []
    created = JobSwitch.objects.create

    def create_and_look(**fields):
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            seen.append(cursor.fetchone())
        return created(**fields)

    monkeypatch.setattr(JobSwitch.objects, "create", create_and_look)
    post(client)
    assert seen == [usual]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["after the claim", "after the effect", "before the commit"])
@pytest.mark.parametrize("job", ["a", "refuse"])
def test_a_process_killed_at_any_step_leaves_nothing_and_the_repeat_has_one_effect(client, monkeypatch, step, job):
    connections.close_all()
    child = os.fork()
    if child == 0:  # a web process of its own, which dies where the step says
        kill_at(step)
        post(client, job=job)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert jobs() == []
    assert not IdempotencyKey.objects.exists()

    first, again = post(client, job=job), post(client, job=job)
    assert first.content == again.content
    assert len(jobs()) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("job", "status", "left"), [("a", 201, ["a"]), ("refuse", 422, ["DENIED"])])
def test_a_process_killed_after_the_commit_has_answered_all_the_same(client, job, status, left):
    connections.close_all()
    child = os.fork()
    if child == 0:
        kill_at("after the commit")
        post(client, job=job)
        os._exit(1)
    _, ended = os.waitpid(child, 0)
    assert os.WTERMSIG(ended) == signal.SIGKILL

    answer = post(client, job=job)
    assert answer.status_code == status
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert jobs() == left


def kill_at(step):
    """Make this process kill itself at the step, with its transaction open."""

    def die(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    match step:
        case "after the claim":
            idempotency._run = die
        case "after the effect":
            idempotency._rendered = die
            idempotency.problem_response = die
        case "before the commit":
            type(connection._connections[connection._alias])._commit = die
        case "after the commit":
            commit = type(connection._connections[connection._alias])._commit
            type(connection._connections[connection._alias])._commit = lambda self: (commit(self), die())
