"""Keeping the list of machines that AWS shows and no row of ours describes, with a verdict on each.

`note` takes what a look at AWS brought, some machines at a time; `settle` closes the look at an account: what was not
shown is gone, and each verdict is reckoned anew from the people, teams and machines that there are now.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from blueprints.models import BundleType
from forge.db.locks import advisory_lock
from workspaces.aws import Machine
from workspaces.fleet.seen import Seen
from workspaces.lifecycle import AWS_STATES, LIVE_STATES, State
from workspaces.models import ProviderAccount, UnmanagedMachine, WorkSpace
from workspaces.tagging.wanted import WORKSPACE

CHUNK = 500
SETTLED = tuple(name for name, seen in AWS_STATES.items() if seen.state in (State.AVAILABLE, State.STOPPED))
"""AWS states in which a machine can be adopted: it runs or is stopped, and stays so for the while."""

PERSONAL = WorkSpace.ServiceType.PERSONAL
ENDED = ("TERMINATING", "TERMINATED")

# The name is matched whatever its case, as AWS does. A tag that is no UUID is not ours.
_NOTE = """
    INSERT INTO workspaces_unmanagedmachine AS known (
        id, organization_id, provider_account_id, provider_id, directory_id, directory_user, bundle_id, bundle_type,
        operating_system, running_mode, root_volume_gb, user_volume_gb, auto_stop_minutes, provider_state, tags,
        is_orphan, verdict, first_seen_at, created_at, updated_at
    )
    SELECT forge_uuid7(), %(organization)s, %(account)s, provider_id, directory_id, user_name, bundle_id, bundle_type,
           operating_system, running_mode, root_volume_gb, user_volume_gb, auto_stop_minutes, state, tags,
           is_orphan, 'NOT_SETTLED', %(now)s, %(now)s, %(now)s
      FROM jsonb_to_recordset(%(machines)s::jsonb) AS shown (
               provider_id text, directory_id text, user_name text, bundle_id text, bundle_type text,
               operating_system text, running_mode text, root_volume_gb integer, user_volume_gb integer,
               auto_stop_minutes integer, state text, tags jsonb, is_orphan boolean)
     ORDER BY provider_id
    ON CONFLICT (provider_account_id, provider_id) WHERE gone_at IS NULL AND adopted_at IS NULL DO UPDATE
       SET directory_user = EXCLUDED.directory_user, bundle_id = EXCLUDED.bundle_id,
           bundle_type = EXCLUDED.bundle_type, operating_system = EXCLUDED.operating_system,
           running_mode = EXCLUDED.running_mode, root_volume_gb = EXCLUDED.root_volume_gb,
           user_volume_gb = EXCLUDED.user_volume_gb, auto_stop_minutes = EXCLUDED.auto_stop_minutes,
           provider_state = EXCLUDED.provider_state, tags = EXCLUDED.tags, is_orphan = EXCLUDED.is_orphan,
           updated_at = EXCLUDED.updated_at
     WHERE (known.directory_user, known.bundle_id, known.bundle_type, known.operating_system, known.running_mode,
            known.root_volume_gb, known.user_volume_gb, known.auto_stop_minutes, known.provider_state, known.tags,
            known.is_orphan)
           IS DISTINCT FROM
           (EXCLUDED.directory_user, EXCLUDED.bundle_id, EXCLUDED.bundle_type, EXCLUDED.operating_system,
            EXCLUDED.running_mode, EXCLUDED.root_volume_gb, EXCLUDED.user_volume_gb, EXCLUDED.auto_stop_minutes,
            EXCLUDED.provider_state, EXCLUDED.tags, EXCLUDED.is_orphan)
"""

_JUDGE = """
    WITH person AS (
        SELECT u.id, lower(u.directory_username) AS name, sole.team_id
          FROM accounts_user u
          LEFT JOIN LATERAL (
              SELECT (array_agg(m.team_id))[1] AS team_id FROM accounts_membership m
               WHERE m.user_id = u.id AND m.team_id IS NOT NULL
              HAVING count(*) = 1
          ) sole ON true
         WHERE u.organization_id = %(organization)s AND u.directory_username <> ''
    ), judged AS (
        SELECT m.id, person.id AS owner_id, person.team_id,
               CASE
                   WHEN m.bundle_type <> ALL (%(bundle_types)s) OR m.running_mode NOT IN ('AUTO_STOP', 'ALWAYS_ON')
                        OR m.operating_system !~ '^(WINDOWS|AMAZON_LINUX|UBUNTU|RHEL|ROCKY)_' THEN 'NOT_OFFERED'
                   WHEN person.id IS NULL THEN 'NO_OWNER'
                   WHEN EXISTS (
                       SELECT FROM workspaces_workspace w
                        WHERE w.directory_id = m.directory_id AND upper(w.directory_user) = upper(m.directory_user)
                          AND w.state NOT IN ('TERMINATED', 'FAILED')
                   ) THEN 'OWNER_HAS_MACHINE'
                   WHEN m.provider_state <> ALL (%(settled)s) THEN 'NOT_SETTLED'
                   WHEN person.team_id IS NULL THEN 'TEAM_UNCLEAR'
                   ELSE 'ADOPTABLE'
               END AS verdict
          FROM workspaces_unmanagedmachine m
          LEFT JOIN person ON person.name = lower(m.directory_user)
         WHERE m.provider_account_id = %(account)s AND m.gone_at IS NULL AND m.adopted_at IS NULL
    )
    UPDATE workspaces_unmanagedmachine m
       SET verdict = judged.verdict, owner_id = judged.owner_id, team_id = judged.team_id, updated_at = %(now)s
      FROM judged
     WHERE m.id = judged.id AND m.gone_at IS NULL AND m.adopted_at IS NULL
       AND (m.verdict, m.owner_id, m.team_id) IS DISTINCT FROM (judged.verdict, judged.owner_id, judged.team_id)
"""


def unknown_of(account: ProviderAccount, machines: Sequence[Machine]) -> list[Machine]:
    """Those of the machines that no row of the account describes, and that AWS is not about to end.

    What two accounts of the organization show is one's alone to list.
    """
    elsewhere = _listed_elsewhere(account, {machine.directory_id for machine in machines})
    standing = [one for one in machines if one.state not in ENDED and one.directory_id not in elsewhere]
    ids = [machine.provider_id for machine in standing]
    ours = set(WorkSpace.objects.live().filter(provider_id__in=ids).values_list("provider_id", flat=True))
    return [machine for machine in standing if machine.provider_id not in ours]


def formerly_ours(machines: Sequence[Machine]) -> set[str]:
    """The ids of those machines of `unknown_of` that a row of ours describes all the same: one that has ended."""
    ids = [machine.provider_id for machine in machines]
    return set(WorkSpace.objects.filter(provider_id__in=ids).values_list("provider_id", flat=True)) if ids else set()


def note(
    *,
    account: ProviderAccount,
    machines: Sequence[Machine],
    tags: Mapping[str, Mapping[str, str]] | None,
    now: datetime,
) -> int:
    """Write down machines of `unknown_of` with their tags; returns how many of them carry the tag of an ended row."""
    rows = _rows(account, machines, tags)
    if rows:
        parameters: dict[str, Any] = {
            "organization": account.organization_id,
            "account": account.id,
            "machines": json.dumps(rows),
            "now": now,
        }
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, parameters)
    return sum(row["is_orphan"] for row in rows)


def foresee(
    *, account: ProviderAccount, machines: Sequence[Machine], tags: Mapping[str, Mapping[str, str]] | None
) -> tuple[int, int]:
    """How many machines `note` would write down, and how many orphans among them; changes nothing."""
    rows = _rows(account, machines, tags)
    return len(rows), sum(row["is_orphan"] for row in rows)


def _rows(
    account: ProviderAccount, machines: Sequence[Machine], tags: Mapping[str, Mapping[str, str]] | None
) -> list[dict[str, Any]]:
    """What is to be written down of machines of `unknown_of`.

    A machine whose launch is under way (its row has no id of AWS's yet) is nobody's but the launch's: passed over.
    `tags` None = they may not be read: those that were read before stay, and a launch is known by its directory user.
    """
    if tags is None:
        machines = _not_being_launched(account, machines)
        tags = _known_tags(account, machines)
    named = {tags.get(machine.provider_id, {}).get(WORKSPACE, "") for machine in machines}
    being_launched = _being_launched(named)
    rows = []
    for machine in machines:
        own = dict(tags.get(machine.provider_id, {}))
        if own.get(WORKSPACE) in being_launched:
            continue
        rows.append({**asdict(machine), "tags": own, "is_orphan": WORKSPACE in own})
    return rows


def settle(*, account: ProviderAccount, seen: Seen, now: datetime) -> dict[str, int]:
    """End the look at an account: note what is gone, judge what stands; returns how many there are of each verdict."""
    standing = UnmanagedMachine.objects.standing().filter(provider_account=account)
    after = None
    while chunk := list((standing.filter(id__gt=after) if after else standing).order_by("id")[:CHUNK]):
        after = chunk[-1].id
        elsewhere = _listed_elsewhere(account, {machine.directory_id for machine in chunk})
        gone = [one.id for one in chunk if one.provider_id not in seen or one.directory_id in elsewhere]
        managed = [machine.provider_id for machine in chunk]
        ours = WorkSpace.objects.live().filter(provider_id__in=managed).values("provider_id")
        with transaction.atomic():
            standing.filter(id__in=gone).update(gone_at=now, updated_at=now)
            standing.filter(id__in=[machine.id for machine in chunk], provider_id__in=ours).update(
                gone_at=now, updated_at=now
            )
    parameters: dict[str, Any] = {
        "organization": account.organization_id,
        "account": account.id,
        "bundle_types": list(BundleType.values),
        "settled": list(SETTLED),
        "now": now,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        advisory_lock("workspaces.fleet", account.id)  # two that judge would lock the same rows in any order
        cursor.execute(_JUDGE, parameters)
        cursor.execute(
            "SELECT verdict, count(*) FROM workspaces_unmanagedmachine"
            " WHERE provider_account_id = %s AND gone_at IS NULL AND adopted_at IS NULL GROUP BY verdict",
            [account.id],
        )
        return dict(cursor.fetchall())


def _listed_elsewhere(account: ProviderAccount, directories: set[str]) -> set[str]:
    """Which of the directories another account of the organization lists: the first one that is switched on."""
    listing: dict[str, uuid.UUID] = {}
    accounts = ProviderAccount.objects.filter(organization_id=account.organization_id, directory_id__in=directories)
    for one in sorted(accounts, key=lambda one: (not one.enabled, not one.offers(PERSONAL), one.id)):
        listing.setdefault(one.directory_id, one.id)
    return {directory for directory, account_id in listing.items() if account_id != account.id}


def _not_being_launched(account: ProviderAccount, machines: Sequence[Machine]) -> list[Machine]:
    """Those that are no machine of a live row that does not know its id yet; AWS gives a directory user one."""
    launched = WorkSpace.objects.live().filter(provider_account=account, provider_id="")
    held = {(directory, user.lower()) for directory, user in launched.values_list("directory_id", "directory_user")}
    return [one for one in machines if (one.directory_id, one.user_name.lower()) not in held]


def _known_tags(account: ProviderAccount, machines: Sequence[Machine]) -> dict[str, dict[str, str]]:
    """The tags of machines that stand in the list already, as they were last read."""
    standing = UnmanagedMachine.objects.standing().filter(
        provider_account=account, provider_id__in=[one.provider_id for one in machines]
    )
    return dict(standing.values_list("provider_id", "tags"))


def _being_launched(tags: set[str]) -> set[str]:
    """Which of the tags name a live row that does not know its machine yet."""
    named = [tag for tag in tags if _is_uuid(tag)]
    rows = WorkSpace.objects.filter(id__in=named, provider_id="", state__in=LIVE_STATES)
    return {str(id_) for id_ in rows.values_list("id", flat=True)}


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and all(letter in "0123456789abcdef-" for letter in text) and text.count("-") == 4
