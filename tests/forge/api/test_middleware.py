import uuid

import pytest

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("sent", ["0190f5a2-1111-7000-8000-000000000000", "a", "trace:1/2=3", "x" * 128])
def test_a_sane_request_id_is_taken_over(client, sent):
    assert client.get("/api/v1/runs/", HTTP_X_REQUEST_ID=sent).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "<script>", "line\\nbreak\n", "-lead", "ümlaut", '"'])
def test_any_other_request_id_is_replaced(client, sent):
    answer = client.get("/api/v1/nowhere/", HTTP_X_REQUEST_ID=sent)
    made = answer.headers["X-Request-ID"]
    assert uuid.UUID(made)
    assert answer.json()["request_id"] == made


def test_answers_of_the_api_are_kept_by_no_cache(client):
    answer = client.get("/api/v1/runs/")
    assert answer.headers["Cache-Control"] == "no-store"
    assert {"Authorization", "Cookie", "Accept"} <= {part.strip() for part in answer.headers["Vary"].split(",")}


def test_if_match_refuses_what_has_changed_meanwhile(client):
    address = f"/api/v1/switches/{client.post('/api/v1/switches/', {'job': 'a'}).json()['id']}/bump/"
    assert client.post(address).status_code == 200
    assert client.post(address, HTTP_IF_MATCH='"7"').status_code == 200
    assert client.post(address, HTTP_IF_MATCH='"6", "7"').status_code == 200
    assert client.post(address, HTTP_IF_MATCH="*").status_code == 200
    stale = client.post(address, HTTP_IF_MATCH='"6"')
    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (412, "precondition_failed", 7)
    for words in ("7", '"7', "", '"7",'):
        assert client.post(address, HTTP_IF_MATCH=words).status_code == 400
