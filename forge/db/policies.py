"""Row-level security: which rows a scope may touch, table by table; `migrate` says so to PostgreSQL after every run.

A table is isolated by its column `organization_id`, without any line here; by the row that it belongs to (BY_PARENT);
or it belongs to the installation (INSTALLATION). A table that is none of these is an error of the system check, so a
new one cannot be forgotten.

The policies are FORCEd: they bind the owner of the tables as well, so that an installation with one plain role is
isolated too. What binds nobody is a superuser and a role with BYPASSRLS. Every partition has the policy of its table,
attached or detached, whoever reads it by its own name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db import connections, models, transaction
from django.db.backends.utils import CursorWrapper

from forge.db.locks import advisory_lock, lock_timeout
from forge.db.operations import DETACHED
from forge.db.scope import SETTING, SYSTEM

POLICY, BESIDES = "forge_isolation", "forge_isolation_besides"
ORGANIZATIONS = "accounts_organization"

BY_PARENT = {
    "account_emailaddress": ("user_id", "accounts_user"),
    "account_emailconfirmation": ("email_address_id", "account_emailaddress"),
    "accounts_project_teams": ("project_id", "accounts_project"),
    "audit_auditexportpart": ("export_id", "audit_auditexport"),
    "costs_billpart": ("bill_id", "costs_bill"),
    "costs_reportfile": ("report_id", "costs_issuedreport"),
    "django_admin_log": ("user_id", "accounts_user"),
    "mfa_authenticator": ("user_id", "accounts_user"),
    "socialaccount_socialaccount": ("user_id", "accounts_user"),
    "socialaccount_socialtoken": ("account_id", "socialaccount_socialaccount"),
}
"""Table → its column and the table whose `id` this is: whoever may touch that row may touch its own."""

SHARED = ("audit_legalhold", "costs_price", "db_jobswitch")
"""Tables whose rows without an organization hold for all: everybody but nobody reads them, only the system writes."""

INSTALLATION = (
    "api_denialcount",  # counts by address and credential, before it is known who asks
    "audit_auditcheckpoint",  # the proofs of the log: hashes only
    "audit_auditlane",
    "audit_auditleaf",
    "audit_auditnode",
    "audit_auditpublication",
    "audit_auditverification",
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "costs_billline",  # lines of a bill while it is read in, by COPY, which PostgreSQL refuses on an isolated table
    "db_archivedmonth",
    "db_jobrun",
    "django_content_type",
    "django_session",  # looked up before it is known who asks
    "socialaccount_socialapp",  # empty: identity providers are settings
    "workspaces_callallowance",  # the rate of calls to AWS
)
"""Tables without rows of one organization's own."""

ADD_ONLY = ("audit_auditlog",)
"""Tables to which every scope adds: refusals are recorded before it is known who asks."""

_SCOPE = f"current_setting('{SETTING}', true)"
# The first is folded when a query is planned, so estimates stay true, but read again for each row that comes to it: so
# the second, which is evaluated once per query, goes before it where it is cheap.
_ANYBODY = f"{_SCOPE} = '{SYSTEM}'"
_OWN = f"(SELECT nullif(nullif({_SCOPE}, '{SYSTEM}'), '')::uuid)"


@dataclass(frozen=True)
class Policy:
    """The condition on rows of one table that may be seen and written, and what is allowed besides, as SQL."""

    own: str
    besides: str = ""

    @property
    def mark(self) -> str:
        """What the comment on a policy says, by which one that is up to date is known."""
        return hashlib.sha256(f"{self.own}\n{self.besides}".encode()).hexdigest()


def policies() -> dict[str, Policy]:
    """Table → policy, for every isolated table of the installed models."""
    return {table: _policy_of(model) for table, model in _models() if table not in INSTALLATION}


def unknown() -> list[str]:
    """The tables of which nothing says whose their rows are."""
    return [
        table
        for table, model in _models()
        if table not in {*INSTALLATION, *BY_PARENT, ORGANIZATIONS} and not _has_organization(model)
    ]


def apply(using: str = "owner", *, lock_seconds: float = 10) -> list[str]:
    """Give every table and partition its policy; returns the names of those that had another one, or none.

    Only those are locked, each in a transaction of its own; raises OperationalError for a lock not had in that time.
    """
    changed = []
    for table, policy in sorted(policies().items()):
        for relation in _wanting(table, policy, using):
            with transaction.atomic(using=using), connections[using].cursor() as cursor:
                lock_timeout(lock_seconds, using)
                advisory_lock("forge.db.policies", using=using)
                _isolate(cursor, relation, policy)
            changed.append(relation)
    return changed


def isolate(table: str, relation: str, using: str) -> None:
    """Give `relation`, a partition of `table`, the policy of its table, inside the caller's transaction."""
    if (policy := policies().get(table)) is not None:
        with connections[using].cursor() as cursor:
            _isolate(cursor, f'"{relation}"', policy)


def faults(using: str = "default") -> list[str]:
    """The tables and partitions whose policy is missing, not up to date, not enabled or not forced; changes nothing."""
    return [relation for table, policy in sorted(policies().items()) for relation in _wanting(table, policy, using)]


def _models() -> Iterator[tuple[str, type[models.Model]]]:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            yield model._meta.db_table, model


def _has_organization(model: type[models.Model]) -> bool:
    return any(field.column == "organization_id" for field in model._meta.concrete_fields)


def _policy_of(model: type[models.Model]) -> Policy:
    table = model._meta.db_table
    if table == ORGANIZATIONS:
        own = f"id = {_OWN} OR {_ANYBODY}"
    elif table in BY_PARENT:
        column, parent = BY_PARENT[table]
        own = f"{_ANYBODY} OR EXISTS (SELECT FROM {parent} AS parent WHERE parent.id = {table}.{column})"
    elif _has_organization(model):
        own = f"organization_id = {_OWN} OR {_ANYBODY}"
    else:
        own = _ANYBODY  # unknown(): the system check names it
    if table in SHARED:
        return Policy(own, besides=f"FOR SELECT USING (organization_id IS NULL AND {_SCOPE} <> '')")
    return Policy(own, besides="FOR INSERT WITH CHECK (true)" if table in ADD_ONLY else "")


def _wanting(table: str, policy: Policy, using: str) -> list[str]:
    """The table, its partitions and its detached months whose policy is not `policy`, enabled and forced."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            """
            SELECT relation.id::text
            FROM (
                SELECT root.id FROM (VALUES (to_regclass(%(table)s)), (to_regclass(%(twin)s))) AS root (id)
                WHERE root.id IS NOT NULL
                UNION
                SELECT tree.relid::oid::regclass
                FROM (VALUES (to_regclass(%(table)s)), (to_regclass(%(twin)s))) AS root (id)
                CROSS JOIN LATERAL pg_partition_tree(root.id) AS tree
            ) AS relation
            JOIN pg_class ON pg_class.oid = relation.id
            LEFT JOIN pg_policy ON polrelid = relation.id AND polname = %(policy)s
            WHERE NOT relrowsecurity OR NOT relforcerowsecurity
               OR obj_description(pg_policy.oid, 'pg_policy') IS DISTINCT FROM %(mark)s
            ORDER BY relation.id::text
            """,
            {"table": f'"{table}"', "twin": f'{DETACHED}."{table}"', "policy": POLICY, "mark": policy.mark},
        )
        return [relation for (relation,) in cursor.fetchall()]


def _isolate(cursor: CursorWrapper, relation: str, policy: Policy) -> None:
    for name in (POLICY, BESIDES):
        cursor.execute(f"DROP POLICY IF EXISTS {name} ON {relation}")
    cursor.execute(f"CREATE POLICY {POLICY} ON {relation} USING ({policy.own})")
    cursor.execute(f"COMMENT ON POLICY {POLICY} ON {relation} IS '{policy.mark}'")
    if policy.besides:
        cursor.execute(f"CREATE POLICY {BESIDES} ON {relation} {policy.besides}")
    cursor.execute(f"ALTER TABLE {relation} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
