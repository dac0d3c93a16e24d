"""One change: the machine is saved and the entry recorded, as every service of Forge does it."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from audit.actors import Actor, Interface, Kind
from audit.models import AuditLog
from audit.services import record
from forge.accounts.models import User
from tests import factories
from tests.bench.peers.common import make_tables
from tests.bench.peers.facts import EMAIL, MACHINE, PERSON, Facts
from tests.bench.peers.with_forge.models import Machine

USER_ID = str(PERSON)


def prepare() -> None:
    """The table, Ann and the machine."""
    make_tables("with_forge", using="owner")
    factories.UserFactory(id=PERSON, email=EMAIL)
    Machine.objects.create()


def change(facts: Facts) -> None:
    """The machine as it is now, changed and saved by Ann."""
    user = User.objects.get(pk=PERSON)
    actor = Actor(
        kind=Kind.USER,
        interface=Interface(facts.interface),
        user_id=user.pk,
        email=user.email,
        organization_id=user.organization_id,
        source_ip=facts.source_ip,
        user_agent=facts.user_agent,
    )
    with transaction.atomic():
        machine = Machine.objects.get(pk=MACHINE)
        before, machine.revision = machine.revision, facts.revision
        machine.save()
        record(
            actor=actor,
            action=facts.action_type,
            description=facts.action_description,
            resource_type=facts.resource_type,
            resource_id=facts.resource_id,
            context=facts.context,
            changes={"before": {"revision": before}, "after": {"revision": facts.revision}},
        )


def left() -> tuple[int, dict[str, Any]]:
    """How many entries there are, and the last."""
    entries = AuditLog.objects.filter(resource_type="machine")
    last = entries.latest("id")
    values = {name: getattr(last, name) for name in vars(Facts(0)) if name != "revision"}
    return entries.count(), values | {"timestamp": str(last.timestamp), "user_id": str(last.user_id)}
