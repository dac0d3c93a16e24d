"""Machines in the simulated AWS that nobody here launched: an existing fleet, to be looked at and taken over."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from audit.actors import Actor
from forge.demo.seed.organization import ACCOUNT, REGION, Seeded
from workspaces.models import ProviderAccount, UnmanagedMachine, WorkSpace
from workspaces.reconcile import reconcile
from workspaces.simulator import catalog
from workspaces.simulator.client import Control

FOUND = 3
GONE_FROM_THE_HOUSE = "former.colleague"
BUNDLES = ("STANDARD", "POWER")
RUNNING = {"RunningMode": "AUTO_STOP", "RunningModeAutoStopTimeoutInMinutes": 60}


def seed_fleet(*, actor: Actor, seeded: Seeded, now: datetime) -> None:
    """Let AWS have machines of people who have none here, of somebody unknown too; reconcile then lists them.

    None of them is a person who signs in to the demo: AWS gives a directory user one machine, and theirs is to be
    launched by the README.
    """
    if UnmanagedMachine.objects.filter(organization=seeded.organization).exists():
        return
    owners = set(WorkSpace.objects.live().values_list("owner_id", flat=True))
    free = (seeded.users[one.email] for one in seeded.people if one.team and not one.has_sign_in)
    names = [user.directory_username for user in free if user.id not in owners and user.directory_username][:FOUND]
    for number, name in enumerate([*names, GONE_FROM_THE_HOUSE]):
        _appear(name, BUNDLES[number % len(BUNDLES)], seeded.account)
    reconcile(now=now, actor=actor, accounts=ProviderAccount.objects.filter(pk=seeded.account.pk))


def _appear(name: str, bundle_type: str, account: ProviderAccount) -> None:
    Control(settings.AWS_ENDPOINT_URL or "").appear(
        account=ACCOUNT,
        region=REGION,
        workspace={
            "DirectoryId": account.directory_id,
            "UserName": name,
            "BundleId": catalog.bundle_id(REGION, "engineering-linux-1", bundle_type),
            "WorkspaceProperties": RUNNING,
        },
    )
