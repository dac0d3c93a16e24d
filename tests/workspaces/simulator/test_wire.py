"""The AWS JSON 1.1 protocol itself: addressing, credential scope, errors, and what must not get through."""

import http.client
import json
import socket
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.workspaces.simulator.cloud import Cloud, client
from workspaces.simulator.server import Simulator

CREDENTIAL = "Credential=AKIAEXAMPLE/20260102/us-east-1/workspaces/aws4_request"
SCOPE = f"AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=host, Signature=0"


def _post(
    simulator: Simulator, body: bytes = b"{}", *, path: str = "/", method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """One raw request; header names are written with underscores, None removes a header."""
    sent = {"X-Amz-Target": "WorkspacesService.DescribeWorkspaces", "Authorization": SCOPE}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=10)
    try:
        connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), dict(answer.getheaders())
    finally:
        connection.close()


def test_an_answer_is_json_with_a_request_id(simulator: Simulator) -> None:
    status, document, headers = _post(simulator)
    assert (status, document) == (200, {"Workspaces": []})
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert len(headers["x-amzn-RequestId"]) == 36


@pytest.mark.parametrize("target", ["WorkspacesService.CreateWorkspaceBundle", "WorkspacesService.", "Other.X", ""])
def test_an_operation_that_is_not_known_is_unknown(simulator: Simulator, target: str) -> None:
    status, document, headers = _post(simulator, X_Amz_Target=target)
    assert (status, document["__type"]) == (400, "UnknownOperationException")
    assert headers["x-amzn-ErrorType"] == "UnknownOperationException"


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        ("", 403, "MissingAuthenticationTokenException"),
        ("Bearer x", 400, "IncompleteSignatureException"),
        (SCOPE.replace("/workspaces/", "/tagging/"), 403, "InvalidSignatureException"),
        (SCOPE.replace("us-east-1", "mars"), 403, "InvalidSignatureException"),
        (SCOPE.replace("us-east-1", "../x"), 400, "IncompleteSignatureException"),
    ],
)
def test_a_call_needs_a_credential_scope_of_its_service(
    simulator: Simulator, authorization: str, status: int, code: str
) -> None:
    answered, document, _ = _post(simulator, Authorization=authorization)
    assert (answered, document["__type"]) == (status, code)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'"text"', b"NaN"])
def test_a_body_that_is_no_json_object_is_a_serialization_exception(simulator: Simulator, body: bytes) -> None:
    status, document, _ = _post(simulator, body)
    assert (status, document["__type"]) == (400, "SerializationException")


def test_the_tagging_api_writes_its_message_with_a_capital_letter(simulator: Simulator) -> None:
    tagging = SCOPE.replace("/workspaces/", "/tagging/")
    target = "ResourceGroupsTaggingAPI_20170126.GetResources"
    _, document, _ = _post(simulator, b'{"ResourcesPerPage": 0}', X_Amz_Target=target, Authorization=tagging)
    assert set(document) == {"__type", "Message"}


def test_aws_calls_are_answered_at_the_root_only(simulator: Simulator) -> None:
    for path, method in (("/", "GET"), ("/x", "POST"), ("/_control", "POST"), ("/?x", "POST")):
        assert _post(simulator, path=path, method=method)[0] == 404


@pytest.mark.parametrize(
    "path", ["/_control/clock/advance", "//_control/clock/advance", "/_control/machines/ws-000000000/connect"]
)
@pytest.mark.parametrize("hidden", [{"Authorization": None}, {"X_Amz_Target": None}, {}])
def test_an_aws_call_reaches_no_control_endpoint(simulator: Simulator, path: str, hidden: dict[str, Any]) -> None:
    before = simulator.control.health()["now"]
    status, _, _ = _post(simulator, b'{"seconds": 1000000}', path=path, **hidden)
    assert status == 403
    assert simulator.control.health()["now"] - before < 1_000


def test_boto3_pointed_at_the_control_endpoints_is_turned_away(simulator: Simulator) -> None:
    for path in ("/_control/", "/_control/health", "/_control/machines"):
        with pytest.raises(ClientError) as caught:
            _unwatched(simulator.url + path).describe_workspaces()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def _unwatched(url: str) -> Any:
    return boto3.session.Session().client(
        "workspaces", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


def test_a_body_without_a_length_or_beyond_the_limit_is_refused_before_it_is_read(simulator: Simulator) -> None:
    for header, status in (("Content-Length: 99999999", b"413"), ("Transfer-Encoding: chunked", b"411")):
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=10) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            assert connection.makefile("rb").readline().split()[1] == status


def test_one_connection_carries_many_calls(simulator: Simulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=10)
    headers = {"X-Amz-Target": "WorkspacesService.DescribeWorkspaces", "Authorization": SCOPE}
    connection.request("POST", "/", b"{}", headers)
    connection.getresponse().read()
    first = connection.sock
    for _ in range(20):
        connection.request("POST", "/", b"{}", headers)
        assert connection.getresponse().read() == b'{"Workspaces": []}'
    assert connection.sock is first
    connection.close()


def test_a_stopped_simulator_answers_nobody_even_on_open_connections() -> None:
    with Simulator() as simulator:
        kept = client("workspaces", simulator.url)
        kept.describe_workspaces()
    with pytest.raises(EndpointConnectionError):
        kept.describe_workspaces()


def test_a_client_that_goes_away_harms_nobody(simulator: Simulator, cloud: Cloud, capfd: pytest.CaptureFixture) -> None:
    for sent in (b"", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n{}", b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=10) as connection:
            connection.sendall(sent)
    cloud.launch("ann")
    assert "Traceback" not in capfd.readouterr().err
