"""The gateway against moto, with nothing changed but AWS_ENDPOINT_URL, and what it makes of AWS's faults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import boto3
import pytest
from moto.server import ThreadedMotoServer

from workspaces import aws
from workspaces.aws import clients, faults
from workspaces.tagging.wanted import OPERATION, WORKSPACE

PLACE = aws.Place(region="us-east-1", account="123456789012", is_simulated=True)
pytestmark = pytest.mark.xdist_group("moto")
"""In one worker: moto reads what it knows of EC2, seconds long, in each process that asks it."""


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(name: str, url: str):
    return boto3.session.Session(
        region_name="us-east-1", aws_access_key_id="123456789012", aws_secret_access_key="x"
    ).client(name, endpoint_url=url)


@pytest.fixture(scope="module")
def directory_id(moto_url) -> str:
    network = client("ec2", moto_url)
    vpc = network.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        network.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    made = client("ds", moto_url).create_directory(
        Name="corp.robco.example", Password="Password1", Size="Small", VpcSettings={"VpcId": vpc, "SubnetIds": subnets}
    )["DirectoryId"]
    client("workspaces", moto_url).register_workspace_directory(DirectoryId=made, SubnetIds=subnets)
    return made


def wanted(directory_id, **changes):
    facts = {
        "directory_id": directory_id,
        "user_name": "ann",
        "bundle_id": "wsb-123456789",
        "bundle_type": "STANDARD",
        "running_mode": "AUTO_STOP",
        "auto_stop_minutes": 61,
        "operation_id": "operation-1",
        "workspace_id": "workspace-1",
        "tags": {"cost-center": "r-100"},
    }
    return aws.NewMachine(**facts | changes)


def test_create_describe_find_and_tags_hold_against_moto(moto_url, directory_id, settings):
    settings.AWS_ENDPOINT_URL = moto_url
    gateway = aws.Gateway(PLACE)
    made = gateway.create(wanted(directory_id))
    assert made.provider_id.startswith("ws-")
    assert gateway.tags(made.provider_id) == {
        "cost-center": "r-100",
        OPERATION: "operation-1",
        WORKSPACE: "workspace-1",
    }
    shown = gateway.describe([made.provider_id])[made.provider_id]
    assert (shown.user_name, shown.bundle_type, shown.running_mode) == ("ann", "STANDARD", "AUTO_STOP")
    found = gateway.find(directory_id=directory_id, user_name="ann")
    assert found is not None
    assert found.provider_id == made.provider_id
    assert gateway.look(aws.Known(made.provider_id, directory_id, "ann")) == shown
    assert isinstance(gateway.registration_code(directory_id), str)


def test_what_is_not_there_is_told_apart(moto_url, directory_id, settings):
    settings.AWS_ENDPOINT_URL = moto_url
    gateway = aws.Gateway(PLACE)
    with pytest.raises(aws.NotFound):
        gateway.create(wanted("d-0000000000"))
    with pytest.raises(aws.Invalid):
        gateway.create(wanted(""))


def test_a_role_is_assumed_before_the_first_call(moto_url, directory_id, settings, monkeypatch):
    settings.AWS_ENDPOINT_URL = moto_url
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFORGE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    role = aws.Place(
        region="us-east-1",
        account="123456789012",
        is_simulated=False,
        role_arn="arn:aws:iam::123456789012:role/forge",
    )
    gateway = aws.Gateway(role)
    assert gateway.registration_code(directory_id) is not None
    credentials = gateway._client._request_signer._credentials
    assert credentials.method == "assume-role"
    assert credentials.access_key.startswith("ASIA")


@pytest.mark.parametrize("known", [{"AWS_ACCESS_KEY_ID": "AKIAFORGE", "AWS_SECRET_ACCESS_KEY": "x"}, {}])
def test_without_a_role_the_own_credentials_are_used_or_their_lack_is_said(
    moto_url, directory_id, settings, monkeypatch, known
):
    settings.AWS_ENDPOINT_URL = moto_url
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    clients.forget()
    gateway = aws.Gateway(aws.Place(region="us-east-1", account="123456789012", is_simulated=False))
    if known:
        assert gateway.describe(["ws-000000000"]) == {}
    else:
        with pytest.raises(aws.Unavailable):
            gateway.describe(["ws-000000000"])
    clients.forget()


def test_a_role_without_credentials_to_assume_it_with_is_unavailable(settings, monkeypatch):
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    with pytest.raises(aws.Unavailable, match="NoCredentialsError"):
        aws.Gateway(aws.Place("us-east-1", "123456789012", False, "arn:aws:iam::123456789012:role/none"))


def test_somebody_is_told_before_each_call(settings):
    settings.AWS_ENDPOINT_URL = "http://127.0.0.1:9"
    told = []
    gateway = aws.Gateway(PLACE, before_call=lambda: told.append(1))
    for call in (
        lambda: gateway.describe(["ws-000000000"]),
        lambda: gateway.create(wanted("d-0000000000")),
        lambda: gateway.terminate("ws-000000000"),
    ):
        with pytest.raises(aws.Unavailable):
            call()
    assert len(told) == 3


@pytest.mark.parametrize(
    ("code", "status", "family"),
    [
        ("ThrottlingException", 400, aws.Throttled),
        ("ResourceLimitExceededException", 400, aws.LimitReached),
        ("ResourceExists.WorkSpace", 400, aws.Exists),
        ("ResourceNotFound.User", 400, aws.NotFound),
        ("InternalServerError", 500, aws.UnknownOutcome),
        ("SomethingNew", 500, aws.UnknownOutcome),
        ("503", 503, aws.UnknownOutcome),
        ("AccessDeniedException", 400, aws.Invalid),
        ("ExpiredTokenException", 400, aws.Unavailable),
        ("UnrecognizedClientException", 400, aws.Unavailable),
        ("InvalidSignatureException", 403, aws.Unavailable),
    ],
)
def test_each_fault_says_what_is_known_of_the_effect(code, status, family):
    assert type(faults._fault(code, "words", status=status)) is family


def test_a_failed_request_inside_a_good_answer_is_a_fault():
    with pytest.raises(aws.Exists):
        faults.raise_failed({"FailedRequests": [{"ErrorCode": "ResourceExists.WorkSpace", "ErrorMessage": "one"}]})


@pytest.mark.parametrize(("minutes", "step"), [(15, 60), (60, 60), (61, 120), (2880, 2880)])
def test_auto_stop_times_are_the_next_multiple_of_sixty(minutes, step):
    assert aws.auto_stop_step(minutes) == step


def test_the_gateways_make_no_ec2_client():
    source = "".join(path.read_text() for path in Path(aws.__file__).parent.glob("*.py"))
    assert get_args(clients.Service) == ("workspaces", "appstream", "cloudwatch", "resourcegroupstaggingapi", "sts")
    assert re.findall(r"\.client\(\s*(\S+),", source) == ["service"]
    assert not re.search(r"""["']ec2["']""", source)
