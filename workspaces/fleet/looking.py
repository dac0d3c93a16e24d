"""What AWS shows of machines that are about to be taken over: the list of them is of its last pages."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from workspaces import aws
from workspaces.fleet.survey import ENDED
from workspaces.models import UnmanagedMachine

GONE_FROM_AWS = "gone_from_aws"
"""Why a machine is not taken over that AWS has ended, or is about to; the next look takes it off the list."""


def gone(machine_ids: Sequence[uuid.UUID], gateway: aws.Gateway) -> set[uuid.UUID]:
    """Which of the machines AWS does not show, or shows on its way out; may raise any AwsError.

    An answer that shows too little, as a wrong role's, leaves machines where they are and ends nothing.
    """
    names = dict(UnmanagedMachine.objects.filter(id__in=machine_ids).values_list("id", "provider_id"))
    shown = gateway.describe(list(names.values()))
    standing = {name for name, machine in shown.items() if machine.state not in ENDED}
    return {id_ for id_, name in names.items() if name not in standing}
