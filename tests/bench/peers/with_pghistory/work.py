"""One change: `pghistory.context` around the save, as its middleware does it for a request."""

from __future__ import annotations

from typing import Any

import pghistory
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction

from tests.bench.peers.common import make_tables
from tests.bench.peers.facts import EMAIL, MACHINE, Facts
from tests.bench.peers.with_pghistory.models import Machine

USER_ID = 1


def prepare() -> None:
    """The tables with their triggers, Ann and the machine."""
    call_command("migrate", verbosity=0)
    make_tables("with_pghistory")
    User.objects.create(id=USER_ID, username="ann", email=EMAIL)
    Machine.objects.create()


def change(facts: Facts) -> None:
    """The machine as it is now, changed and saved by Ann."""
    user = User.objects.get(pk=USER_ID)
    metadata = facts.of("action_type", "action_description", "result", "source_ip", "user_agent", "interface")
    with transaction.atomic(), pghistory.context(
        user=user.pk, user_email=user.email, context=facts.context, **metadata
    ):  # fmt: skip
        machine = Machine.objects.get(pk=MACHINE)
        machine.revision = facts.revision
        machine.save()


def left() -> tuple[int, dict[str, Any]]:
    """How many entries there are, and the last."""
    events = Machine.pgh_event_model.objects.filter(pgh_label="update")  # type: ignore[attr-defined]
    event = events.select_related("pgh_context").latest("pk")
    metadata = event.pgh_context.metadata
    return events.count(), {
        **metadata,
        "timestamp": str(event.pgh_created_at),
        "user_id": metadata["user"],
        "resource_type": event.pgh_tracked_model._meta.model_name,
        "resource_id": str(event.pgh_obj_id),
    }
