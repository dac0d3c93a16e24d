"""One change: `set_actor` around the save, as django-auditlog documents it for code outside a request."""

from __future__ import annotations

from typing import Any

from auditlog.context import disable_auditlog, set_actor
from auditlog.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction

from tests.bench.peers.common import make_tables
from tests.bench.peers.facts import EMAIL, MACHINE, Facts
from tests.bench.peers.with_auditlog.models import Machine

USER_ID = 1


def prepare() -> None:
    """The tables, Ann and the machine."""
    call_command("migrate", verbosity=0)
    make_tables("with_auditlog")
    User.objects.create(id=USER_ID, username="ann", email=EMAIL)
    with disable_auditlog():
        Machine.objects.create()


def change(facts: Facts) -> None:
    """The machine as it is now, changed and saved by Ann."""
    user = User.objects.get(pk=USER_ID)
    with transaction.atomic(), set_actor(user, remote_addr=facts.source_ip):
        machine = Machine.objects.get(pk=MACHINE)
        machine.revision, machine.facts = facts.revision, facts
        machine.save()


def left() -> tuple[int, dict[str, Any]]:
    """How many entries there are, and the last."""
    entry = LogEntry.objects.select_related("content_type").latest("pk")
    return LogEntry.objects.count(), {
        "timestamp": str(entry.timestamp),
        "user_id": entry.actor_id,
        "user_email": entry.actor_email,
        "resource_type": entry.content_type.model,
        "resource_id": entry.object_pk,
        "source_ip": entry.remote_addr,
        **entry.additional_data,
    }
