"""Assumed roles: credentials that carry the account of their role."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.workspaces.simulator.cloud import AUTO_STOP, REGION, Cloud, refused
from tests.workspaces.simulator.strict import watch
from workspaces.simulator import catalog, sts
from workspaces.simulator.errors import AwsError
from workspaces.simulator.server import Simulator

ROLE = "arn:aws:iam::210987654321:role/path/forge"


def _with(url: str, credentials: dict[str, Any], **change: str) -> Any:
    given = credentials | change
    made = boto3.session.Session().client(
        "workspaces",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    return watch(made)


def test_calls_in_an_assumed_role_are_made_in_its_account(simulator: Simulator, cloud: Cloud) -> None:
    answer = cloud.sts.assume_role(RoleArn=ROLE, RoleSessionName="forge-1", ExternalId="robco")
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::210987654321:assumed-role/forge/forge-1"
    end = answer["Credentials"]["Expiration"]
    assert timedelta(minutes=55) < end - datetime.now(UTC) <= timedelta(hours=1)
    request = {"DirectoryId": catalog.directory_id(REGION), "UserName": "ann", "BundleId": cloud.bundle_id()}
    created = _with(simulator.url, answer["Credentials"]).create_workspaces(
        Workspaces=[request | {"WorkspaceProperties": AUTO_STOP}]
    )
    assert created["FailedRequests"] == []
    assert [machine["account"] for machine in simulator.control.machines()] == ["210987654321"]
    assert cloud.api.describe_workspaces()["Workspaces"] == []


def test_credentials_without_their_token_are_no_good(simulator: Simulator, cloud: Cloud) -> None:
    credentials = cloud.sts.assume_role(RoleArn=ROLE, RoleSessionName="forge")["Credentials"]
    other = cloud.sts.assume_role(RoleArn=ROLE.replace("2109", "3109"), RoleSessionName="forge")["Credentials"]
    for token in ("", "nonsense", other["SessionToken"]):
        with refused("UnrecognizedClientException"):
            _with(simulator.url, credentials, SessionToken=token).describe_workspaces()


def test_credentials_end_by_the_real_clock(cloud: Cloud) -> None:
    answer = cloud.sts.assume_role(RoleArn=ROLE, RoleSessionName="forge", DurationSeconds=900)["Credentials"]
    key, token = answer["AccessKeyId"], answer["SessionToken"]
    assert sts.account_of(key, token, time.time() + 890) == "210987654321"
    with pytest.raises(AwsError) as caught:
        sts.account_of(key, token, time.time() + 901)
    assert caught.value.code == "ExpiredTokenException"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"RoleArn": "arn:aws:iam::123:role/forge", "RoleSessionName": "forge"}, "ValidationError"),
        ({"RoleArn": "arn:aws:iam::210987654321:user/forge", "RoleSessionName": "forge"}, "ValidationError"),
    ],
)
def test_a_role_that_cannot_be_is_refused(cloud: Cloud, asked: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        cloud.sts.assume_role(**asked)
    assert caught.value.response["Error"]["Code"] == code


def test_the_caller_is_told_its_account(simulator: Simulator, cloud: Cloud) -> None:
    assert cloud.sts.get_caller_identity()["Account"] == "123456789012"
    assert Cloud(simulator.url, access_key="210987654321").sts.get_caller_identity()["Account"] == "210987654321"
