"""Where AWS is asked for a machine, and by what name."""

from __future__ import annotations

from workspaces import aws
from workspaces.models import ProviderAccount, WorkSpace


def place_of(account: ProviderAccount) -> aws.Place:
    """Where the machines of a provider account are asked for."""
    return aws.Place(
        region=account.region,
        account=account.account,
        is_simulated=account.kind == ProviderAccount.Kind.SIMULATOR,
        role_arn=account.role_arn,
    )


def known(workspace: WorkSpace) -> aws.Known:
    """By what AWS can be asked for a machine that it has."""
    return aws.Known(workspace.provider_id, workspace.directory_id, workspace.directory_user)
