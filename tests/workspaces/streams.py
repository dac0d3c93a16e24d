"""Stacks of WorkSpaces Applications that stream in the simulator, and the price of them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from costs.models import Price
from tests.workspaces.simulator.cloud import client

IMAGE = "engineering-apps-1"
EDITOR, VIEWER = "code-editor", "cad-viewer"


def api(simulator, account="123456789012", region="us-east-1"):
    """boto3's own client of the service, as somebody who runs the AWS account has it."""
    return client("appstream", simulator.url, region=region, access_key=account)


def stack(simulator, organization, name="engineering", *, instance="stream.standard.medium", starts=True, **place):
    """A stack with a fleet, marked for the organization; the fleet runs unless told otherwise."""
    aws = api(simulator, **place)
    aws.create_fleet(Name=name, InstanceType=instance, ImageName=IMAGE, ComputeCapacity={"DesiredInstances": 5})
    aws.create_stack(Name=name, Tags={"forge:organization": organization.slug})
    aws.associate_fleet(FleetName=name, StackName=name)
    if starts:
        aws.start_fleet(Name=name)
        simulator.control.advance(3600)


def price(organization=None, bundle_type="STANDARD", region="us-east-1", **terms):
    """What streaming costs, in round figures that no price list has."""
    assumed = {
        "service_type": "WORKSPACES_APPLICATIONS",
        "operating_system": "WINDOWS",
        "running_mode": "AUTO_STOP",
        "monthly_amount": Decimal(4),
        "hourly_amount": Decimal("0.2"),
        "currency": "USD",
        "source": "assumed by a test",
        "as_of": datetime(2026, 1, 1, tzinfo=UTC),
        "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
    }
    place = {"organization": organization, "bundle_type": bundle_type, "region": region}
    return Price.objects.create(**assumed | place | terms)


def body(**changes):
    """The body of a launch."""
    wanted = {
        "service_type": "WORKSPACES_APPLICATIONS",
        "application_ids": [EDITOR],
        "bundle_type": "STANDARD",
        "operating_system": "WINDOWS",
    }
    return {**wanted, **changes}
