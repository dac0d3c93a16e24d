"""Instants at the ends of the calendar, as people write "never", are shown on every page, wherever the reader is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from audit.models import LegalHold
from forge.db.zones import in_zone
from forge.outbox.letters import Reader
from tests.audit.walk import rows
from tests.world import build
from workspaces.models import Quarantine

pytestmark = pytest.mark.django_db

FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
ZONES = {"Europe/Berlin": "9999-12-31 23:", "America/New_York": "9999-12-31 18:"}
"""How the last hour is told there: Berlin's lies in the year 10000, so it is told in UTC."""


def always_held(world):
    """Holds are made once and never changed."""
    return LegalHold.objects.create(
        organization_id=world.organization.id, user_id=world.engineer.id, reason="a reason",
        placed_by=world.admin.id, placed_at=timezone.now(),
        period_start=FIRST, period_end=NEVER,
    )  # fmt: skip


def kept_for_good(world):
    row = Quarantine.objects.get(workspace=rows.quarantined(world))
    Quarantine.objects.filter(pk=row.pk).update(kept_until=NEVER)
    return row


MADE: dict[str, tuple[Callable[..., Any], dict[str, datetime]]] = {
    "token": (rows.token, {"expires_at": NEVER, "last_used_at": FIRST}),
    "role": (rows.membership, {}),
    "person": (lambda world: world.engineer, {}),
    "price": (rows.price, {"valid_from": FIRST, "valid_to": LAST}),
    "advice": (rows.advice, {"snoozed_until": NEVER}),
    "hold": (always_held, {}),
    "machine": (rows.kept, {"keep_alive_until": NEVER, "put_off_until": NEVER, "next_action_at": NEVER}),
    "lifecycle": (rows.policy, {}),
    "attestation": (rows.attestation, {"valid_until": NEVER}),
    "quarantine": (kept_for_good, {}),
    "budget": (rows.budget, {"period_end": LAST}),
    "budget of the first year": (rows.budget_off, {"period_start": FIRST, "period_end": FIRST + timedelta(days=1)}),
    "raise": (rows.budget_raise, {"ends_at": LAST}),
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("name", MADE)
def test_lists_and_pages_show_rows_of_the_ends_of_the_calendar(client, name, zone):
    world = build(expire_at=timezone.now() + timedelta(days=1))
    make, instants = MADE[name]
    row = make(world)
    type(row).objects.filter(pk=row.pk).update(**instants)
    type(world.engineer).objects.filter(pk=world.engineer.pk).update(credentials_expire_at=NEVER)
    type(world.admin).objects.filter(pk=world.admin.pk).update(time_zone=zone)
    client.force_login(world.admin)
    listed = f"/admin/{row._meta.app_label}/{row._meta.model_name}/"
    for address in (listed, f"{listed}{row.pk}/change/", "/admin/"):
        assert client.get(address).status_code == 200, address


@pytest.mark.parametrize("zone", ZONES)
def test_a_token_that_never_ends_is_listed_with_its_end(client, zone):
    world = build(expire_at=timezone.now() + timedelta(days=1))
    token = rows.token(world)
    type(token).objects.filter(pk=token.pk).update(expires_at=NEVER)
    type(world.admin).objects.filter(pk=world.admin.pk).update(time_zone=zone)
    client.force_login(world.admin)
    assert ZONES[zone] in client.get("/admin/accounts/apitoken/").content.decode()


@pytest.mark.parametrize(
    ("at", "zone", "told"),
    [
        (NEVER, "Europe/Berlin", "9999-12-31 23:59 UTC"),
        (NEVER, "America/New_York", "9999-12-31 18:59 EST"),
        (FIRST, "America/New_York", "1-01-01 00:00 UTC"),
    ],
)
def test_letters_tell_what_the_calendar_of_a_zone_does_not_hold_in_utc(at, zone, told):
    assert Reader("a@example.com", "A", ZoneInfo(zone)).time(at).lstrip("0") == told
    assert in_zone(at, ZoneInfo(zone)) == at
