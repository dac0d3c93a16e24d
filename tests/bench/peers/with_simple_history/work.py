"""One change: `_history_user` and `_change_reason` on the machine, then save, as django-simple-history documents it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction

from tests.bench.peers.common import make_tables
from tests.bench.peers.facts import EMAIL, MACHINE, Facts
from tests.bench.peers.with_simple_history.models import EXTRA, Machine

USER_ID = 1


def prepare() -> None:
    """The tables, Ann and the machine."""
    call_command("migrate", verbosity=0)
    make_tables("with_simple_history")
    User.objects.create(id=USER_ID, username="ann", email=EMAIL)
    Machine().save_without_historical_record()


def change(facts: Facts) -> None:
    """The machine as it is now, changed and saved by Ann."""
    user = User.objects.get(pk=USER_ID)
    with transaction.atomic():
        machine = Machine.objects.get(pk=MACHINE)
        machine.revision, machine.facts = facts.revision, facts
        machine._history_user, machine._change_reason = user, facts.action_description
        machine.save()


def left() -> tuple[int, dict[str, Any]]:
    """How many entries there are, and the last."""
    row = Machine.history.latest("history_id")
    return Machine.history.count(), {
        "timestamp": str(row.history_date),
        "user_id": row.history_user_id,
        "action_description": row.history_change_reason,
        "resource_type": row.instance_type._meta.model_name,
        "resource_id": str(row.id),
        **{name: getattr(row, name) for name in EXTRA},
    }
