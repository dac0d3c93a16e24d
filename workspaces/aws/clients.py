"""boto3 clients: one per place, with the role of the provider account, without retries of their own."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, Literal

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from django.conf import settings

from forge.metrics.aws import count_calls
from workspaces.aws.faults import Unavailable, translated
from workspaces.aws.shapes import Place

Service = Literal["workspaces", "appstream", "cloudwatch", "resourcegroupstaggingapi", "sts"]
"""The services of AWS that this room calls, by their names in boto3."""


@lru_cache(maxsize=256)
def client_of(place: Place, endpoint_url: str | None, service: Service = "workspaces") -> Any:
    """One client per place, service and process; boto3 clients may be shared by threads.

    Raises Unavailable for a simulated place without an endpoint: its requests must not go to the real AWS.
    """
    if place.is_simulated and endpoint_url is None:
        raise Unavailable("NoSimulator", "AWS_ENDPOINT_URL is not set, so there is no simulator to call")
    with translated(looking=True):
        return session_of(place, endpoint_url).client(
            service,
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=settings.FORGE_AWS_CONNECT_TIMEOUT,
                read_timeout=settings.FORGE_AWS_READ_TIMEOUT,
                retries={"total_max_attempts": 1},
                max_pool_connections=32,
            ),
        )


@lru_cache(maxsize=64)
def session_of(place: Place, endpoint_url: str | None) -> boto3.session.Session:
    """One session per place, so that the clients of a place share the credentials of its role, and their renewal."""
    if place.is_simulated:
        return boto3.session.Session(
            botocore_session=_core(),
            region_name=place.region,
            aws_access_key_id=place.account,
            aws_secret_access_key="simulator",  # noqa: S106 - it opens nothing
        )
    own = boto3.session.Session(botocore_session=_core(), region_name=place.region)
    if not place.role_arn:
        return own
    source = own.get_credentials()
    if source is None:
        raise Unavailable("NoCredentialsError", f"There are no credentials with which to assume {place.role_arn}")
    core = _core()
    # botocore has no public way to set credentials that refresh themselves.
    core._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]
        method="assume-role",
        refresh_using=AssumeRoleCredentialFetcher(
            client_creator=partial(own._session.create_client, endpoint_url=endpoint_url),
            source_credentials=source,
            role_arn=place.role_arn,
            extra_args={"RoleSessionName": "robco-forge"},
        ).fetch_credentials,
    )
    return boto3.session.Session(botocore_session=core, region_name=place.region)


def _core() -> botocore.session.Session:
    """A session of its own, whose calls are counted, with the descriptions of the services that all sessions share."""
    core = botocore.session.Session()
    core.register_component("data_loader", _descriptions())
    count_calls(core)
    return core


@lru_cache(maxsize=1)
def _descriptions() -> Any:
    """They are megabytes of JSON, and the same for every place: read once per process."""
    return botocore.session.Session().get_component("data_loader")


def forget() -> None:
    """Let the next call of each place begin with new credentials, as after AWS has taken them for expired."""
    client_of.cache_clear()
    session_of.cache_clear()
