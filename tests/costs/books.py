"""Prices of an organization, and their corrections, for the tests of what is booked by them."""

from datetime import UTC, date, datetime
from decimal import Decimal

from audit.actors import Actor
from costs.services import PriceTerms, set_price
from forge.operations import runner
from forge.operations.models import Operation

ACTOR = Actor.command("tests")
NOW = datetime(2026, 4, 2, 10, 30, tzinfo=UTC)
"""When prices are corrected; what is booked lies before."""


def own_price(organization, valid_from, *, now=NOW, reason="it was read wrongly", after=None, **changes):
    """A STANDARD Linux AutoStop price of the organization."""
    terms = {
        "region": "us-east-1",
        "bundle_type": "STANDARD",
        "operating_system": "LINUX",
        "running_mode": "AUTO_STOP",
        "monthly_amount": Decimal("9.75"),
        "hourly_amount": Decimal("0.30"),
        "currency": "USD",
        "source": "a contract",
        "as_of": date(2026, 2, 1),
        "valid_from": valid_from,
    } | changes
    return set_price(
        actor=ACTOR, organization=organization, terms=PriceTerms(**terms), now=now, reason=reason, after=after
    )


def rerated(now=NOW):
    """Carry out what is queued; answers the operations' results."""
    while runner.run_one(now=now):
        pass
    operations = Operation.objects.filter(kind="costs.rerate").order_by("id")
    assert {operation.status for operation in operations} <= {"succeeded"}
    return [operation.result for operation in operations]
