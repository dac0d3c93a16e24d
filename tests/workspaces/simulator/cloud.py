"""A small driver of a WorkSpaces server through boto3, for tests."""

from functools import cache, cached_property
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.workspaces.simulator.strict import watch
from workspaces.simulator import catalog

REGION = "us-east-1"
AUTO_STOP = {"RunningMode": "AUTO_STOP", "RunningModeAutoStopTimeoutInMinutes": 60}


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


def client(
    service: str,
    url: str,
    *,
    region: str = REGION,
    access_key: str = "AKIAEXAMPLE",
    strict: bool = True,
    read_timeout: float = 60,
) -> BaseClient:
    """A boto3 client that tries once and, where strict, whose every answer is held to botocore's model."""
    made = _session().client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=50, read_timeout=read_timeout),
    )
    return watch(made) if strict else made


class Cloud:
    """One account in one region of a server."""

    def __init__(self, url: str, *, region: str = REGION, access_key: str = "AKIAEXAMPLE") -> None:
        self.region = region
        self._place = (url, region, access_key)
        self.api = client("workspaces", url, region=region, access_key=access_key)
        self.tagging = client("resourcegroupstaggingapi", url, region=region, access_key=access_key)
        self.directory_id = catalog.directory_id(region)

    @cached_property
    def applications(self) -> BaseClient:
        return self._client("appstream")

    @cached_property
    def metrics(self) -> BaseClient:
        return self._client("cloudwatch")

    @cached_property
    def sts(self) -> BaseClient:
        return self._client("sts")

    def _client(self, service: str) -> BaseClient:
        url, region, access_key = self._place
        return client(service, url, region=region, access_key=access_key)

    def bundle_id(self, compute_type: str = "STANDARD", image: str = "engineering-linux-1") -> str:
        return catalog.bundle_id(self.region, image, compute_type)

    def request(self, user_name: str, **more: Any) -> dict[str, Any]:
        return {
            "DirectoryId": self.directory_id,
            "UserName": user_name,
            "BundleId": self.bundle_id(),
            "WorkspaceProperties": AUTO_STOP,
        } | more

    def create(self, *requests: dict[str, Any]) -> dict[str, Any]:
        return self.api.create_workspaces(Workspaces=list(requests))

    def launch(self, user_name: str, **more: Any) -> str:
        """Create one machine, which must be accepted."""
        answer = self.create(self.request(user_name, **more))
        assert answer["FailedRequests"] == []
        return answer["PendingRequests"][0]["WorkspaceId"]

    def refusal(self, user_name: str, **more: Any) -> str:
        """The ErrorCode with which one machine is refused."""
        answer = self.create(self.request(user_name, **more))
        assert answer["PendingRequests"] == []
        return answer["FailedRequests"][0]["ErrorCode"]

    def get(self, workspace_id: str) -> dict[str, Any] | None:
        found = self.api.describe_workspaces(WorkspaceIds=[workspace_id])["Workspaces"]
        return found[0] if found else None

    def state(self, workspace_id: str) -> str | None:
        found = self.get(workspace_id)
        return found["State"] if found else None

    def start(self, *ids: str) -> list[dict[str, str]]:
        return self.api.start_workspaces(StartWorkspaceRequests=_items(ids))["FailedRequests"]

    def stop(self, *ids: str) -> list[dict[str, str]]:
        return self.api.stop_workspaces(StopWorkspaceRequests=_items(ids))["FailedRequests"]

    def reboot(self, *ids: str) -> list[dict[str, str]]:
        return self.api.reboot_workspaces(RebootWorkspaceRequests=_items(ids))["FailedRequests"]

    def terminate(self, *ids: str) -> list[dict[str, str]]:
        return self.api.terminate_workspaces(TerminateWorkspaceRequests=_items(ids))["FailedRequests"]

    def modify(self, workspace_id: str, **properties: Any) -> None:
        self.api.modify_workspace_properties(WorkspaceId=workspace_id, WorkspaceProperties=properties)

    def connection(self, workspace_id: str) -> dict[str, Any]:
        answer = self.api.describe_workspaces_connection_status(WorkspaceIds=[workspace_id])
        return answer["WorkspacesConnectionStatus"][0]


def refused(code: str) -> pytest.RaisesExc[ClientError]:
    """`with refused("SomeException"):` expects an AWS error with that code."""
    return pytest.raises(ClientError, check=lambda error: error.response["Error"]["Code"] == code)


def _items(ids: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"WorkspaceId": workspace_id} for workspace_id in ids]
