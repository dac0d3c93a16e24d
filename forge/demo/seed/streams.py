"""One machine of WorkSpaces Applications, the stack that it streams from, and an assumed price."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from audit.actors import Actor
from costs.metering import meter
from costs.models import Price
from costs.pricing import hour_of
from costs.services import PriceTerms, set_price
from forge.demo.seed.history import acting_as, finish
from forge.demo.seed.organization import ACCOUNT, REGION, SLUG, Seeded
from workspaces import services
from workspaces.aws import StackCatalogue
from workspaces.intents import LaunchSpec
from workspaces.models import WorkSpace
from workspaces.places import place_of
from workspaces.posture.closing import close
from workspaces.simulator.client import Control
from workspaces.stacks import refresh_stacks

STACK = "engineering-apps"
FLEET = {
    "Name": STACK,
    "InstanceType": "stream.standard.medium",
    "ImageName": "engineering-apps-1",
    "ComputeCapacity": {"DesiredInstances": 5},
}
APPLICATIONS = ("code-editor", "cad-viewer")
STREAMED_FOR = timedelta(minutes=50)

MONTHLY, HOURLY = Decimal(5), Decimal("0.20")
ASSUMED = (
    "ASSUMED for the demo, not a price of AWS: a round fee per user and month and a round price per started hour; "
    "enter those of https://aws.amazon.com/workspaces/applications/pricing/ before you rely on any figure"
)


def seed_streams(*, actor: Actor, seeded: Seeded, now: datetime) -> None:
    """Make what is not there yet: the stack in the simulated AWS, its row, its price and one person's machine."""
    actor = actor.in_organization(seeded.organization.id)
    if not StackCatalogue(place_of(seeded.account)).offered_to(SLUG):
        marked = {"Name": STACK, "Tags": {"forge:organization": SLUG}}
        Control(settings.AWS_ENDPOINT_URL or "").appear_stack(account=ACCOUNT, region=REGION, fleet=FLEET, stack=marked)
    _, unclosed = refresh_stacks(account=seeded.account, actor=actor, now=now)
    close(seeded.account, unclosed, actor=actor, now=now)
    _set_price(actor, seeded, now)
    _launch(seeded, now)
    meter(now=now)


def _set_price(actor: Actor, seeded: Seeded, now: datetime) -> None:
    service_type = WorkSpace.ServiceType.APPLICATIONS
    if Price.objects.filter(organization=seeded.organization, service_type=service_type).exists():
        return
    terms = PriceTerms(
        service_type=service_type,
        region=REGION,
        bundle_type="STANDARD",
        operating_system="WINDOWS",
        running_mode="AUTO_STOP",
        monthly_amount=MONTHLY,
        hourly_amount=HOURLY,
        currency=seeded.organization.currency,
        source=ASSUMED,
        as_of=now.date(),
        valid_from=hour_of(now - timedelta(days=1)),
    )
    set_price(actor=actor, organization=seeded.organization, terms=terms, now=now, reason=ASSUMED)


def _launch(seeded: Seeded, now: datetime) -> None:
    """For the last engineer of the platform team, who has a computer too and is streaming now."""
    service_type = WorkSpace.ServiceType.APPLICATIONS
    if WorkSpace.objects.filter(organization=seeded.organization, service_type=service_type).exists():
        return
    person = [one for one in seeded.people if (one.role, one.team) == ("engineer", "platform")][-1]
    spec = LaunchSpec(
        service_type=service_type,
        application_ids=APPLICATIONS,
        bundle_type="STANDARD",
        operating_system="WINDOWS",
        running_mode="AUTO_STOP",
        team=person.team,
        project="forge",
        tags={"cost-center": seeded.projects["forge"].cost_center},
    )
    launched_at = now - STREAMED_FOR
    control = Control(settings.AWS_ENDPOINT_URL or "")
    answer = services.launch(actor=acting_as(seeded, person), spec=spec, now=launched_at)
    if answer.workspace is None:
        raise AssertionError("a launch that is no dry run has a machine")
    finish(control, [(answer.workspace.id, launched_at)])
    access = services.connect(actor=acting_as(seeded, person), workspace_id=answer.workspace.id, now=now)
    control.open_stream(access.url or "")
