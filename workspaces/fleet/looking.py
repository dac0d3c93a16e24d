"""What AWS shows of machines that are about to be taken over: the list of them is of its last pages."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from audit.actors import Actor
from forge.api.errors import Refused, Unavailable
from workspaces import aws
from workspaces.fleet.adopting import require_may_adopt
from workspaces.fleet.survey import ENDED
from workspaces.models import UnmanagedMachine
from workspaces.places import place_of

GONE_FROM_AWS = "gone_from_aws"
"""Why a machine is not taken over that AWS has ended, or is about to; the next look takes it off the list."""


class GoneFromAws(Refused):
    code = GONE_FROM_AWS
    title = "AWS has ended the machine, or is about to"
    suggested_action = "There is nothing to take over; the next look, within five minutes, takes it off the list."
    advice = "There is nothing to take over; the next look, within five minutes, takes it off the list."


class CannotLookNow(Unavailable):
    code = "aws_unavailable"
    title = "AWS does not tell at the moment whether the machine is there"


def require_standing(*, actor: Actor, machine: UnmanagedMachine) -> None:
    """Ask AWS whether a machine that somebody wants to take over is there; call it outside a transaction.

    Raises MayNotAdopt, GoneFromAws and CannotLookNow. What is taken over or off the list already is not asked for.
    """
    require_may_adopt(actor, machine.organization_id)
    if machine.adopted_at is not None or machine.gone_at is not None:
        return
    try:
        is_gone = gone_now(machine)
    except aws.AwsError as error:
        raise CannotLookNow(str(error), retry_after=30) from error
    if is_gone:
        raise GoneFromAws(f"AWS does not show {machine.provider_id} as a machine that stays.")


def gone_now(machine: UnmanagedMachine) -> bool:
    """Whether AWS does not show the machine, or shows it on its way out; may raise any AwsError."""
    return bool(gone([machine.id], aws.Gateway(place_of(machine.provider_account))))


def gone(machine_ids: Sequence[uuid.UUID], gateway: aws.Gateway) -> set[uuid.UUID]:
    """Which of the machines AWS does not show, or shows on its way out; may raise any AwsError.

    An answer that shows too little, as a wrong role's, leaves machines where they are and ends nothing.
    """
    names = dict(UnmanagedMachine.objects.filter(id__in=machine_ids).values_list("id", "provider_id"))
    shown = gateway.describe(list(names.values()))
    standing = {name for name, machine in shown.items() if machine.state not in ENDED}
    return {id_ for id_, name in names.items() if name not in standing}
