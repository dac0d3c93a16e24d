"""A small business that leaves its entries, through the services alone; and rows slipped in that leave none."""

import json
import tempfile
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from audit.actors import Actor
from blueprints import services as blueprints
from budgets import services as budgets
from budgets.models import Budget
from budgets.periods import months_later
from budgets.raising import raise_limit
from costs import services as costs
from costs.advice import keeping as advice_rows
from costs.advice import services as advice
from costs.advice.cases import Proposal
from costs.advice.modes import Confidence
from costs.advice.sweep import advise
from costs.bills.importing import import_file
from costs.models import Advice
from costs.proof import faults
from costs.proof.days import Difference
from costs.showback.figures import Asked
from costs.showback.models import ReportBy, ReportFormat, ReportKind
from costs.showback.services import make
from costs.showback.subscriptions import subscribe
from costs.tags.services import choose_tag_key
from forge.accounts import services as accounts
from forge.accounts.models import Organization
from forge.accounts.token_services import issue_token
from forge.db.ids import uuid7
from forge.db.months import month_of
from forge.operations.models import Operation
from forge.outbox.webhooks.services import create as create_webhook
from tests import world
from tests.costs.bills import sheets
from workspaces import services as workspaces
from workspaces.aws import Stack
from workspaces.fleet import adopting
from workspaces.fleet.taking import Wish
from workspaces.intents import LaunchSpec
from workspaces.models import ProviderAccount, WorkSpace
from workspaces.posture import keeping
from workspaces.posture.attesting import attest
from workspaces.posture.checks import INTERNET, Deviation
from workspaces.providers import register_provider_account
from workspaces.regions.setting import create_latency, create_region_policy
from workspaces.rules.policies import create_policy
from workspaces.simulator import catalog
from workspaces.stacks import keep
from workspaces.transitions import lock_machine, lock_scopes_of, move

IMAGE = "engineering-linux-1"
REGION = world.REGION


def live(slug="robco", directory=1):
    """An organization with people, a blueprint, a budget and a machine that was launched, stopped, started, ended."""
    now = timezone.now()
    command = Actor.command("test")
    organization = accounts.create_organization(actor=command, slug=slug, name="RobCo")
    command = command.in_organization(organization.id)
    team = accounts.create_team(actor=command, organization=organization, slug="one", name="One")
    accounts.create_project(actor=command, organization=organization, slug="p", name="P", cost_center="r-100")
    user = accounts.create_member(
        actor=command, organization=organization, email=f"ann@{slug}.example", full_name="Ann", role="engineer",
        team=team, now=now, directory_username="ann",
    ).user  # fmt: skip
    other = accounts.create_team(actor=command, organization=organization, slug="two", name="Two")
    accounts.grant_role(actor=command, user=user, role="engineer", team=other, now=now)
    issue_token(actor=command, user=user, name="t", now=now)
    offer = blueprints.BundleOffer(REGION, "STANDARD", catalog.bundle_id(REGION, IMAGE, "STANDARD"))
    blueprint = blueprints.draft(
        actor=command, organization=organization, team=team, name="linux", operating_system="LINUX", bundles=[offer]
    )
    blueprints.publish(actor=command, blueprint=blueprint, now=now)
    register_provider_account(
        actor=command, organization=organization, name="simulator", kind=ProviderAccount.Kind.SIMULATOR,
        account="123456789012", region=REGION, directory_id=catalog.directory_id(REGION, directory),
    )  # fmt: skip
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    budget = budgets.create(
        actor=command, organization=organization, scope=Budget.Scope.TEAM, scope_id=team.id, amount=Decimal(500),
        period_start=month, period_end=months_later(month, 1), now=now,
    )  # fmt: skip
    raise_limit(
        actor=command, budget_id=budget.id, amount=Decimal(5), ends_at=budget.period_end, reason="a test", now=now
    )
    costs.set_price(actor=command, organization=organization, now=now, terms=_terms(now), reason="test")
    choose_tag_key(actor=command, organization=organization, key="purpose", now=now)
    ann = world.actor(user)
    spec = LaunchSpec(
        service_type="WORKSPACES_PERSONAL", blueprint_id=blueprint.id, bundle_type="STANDARD",
        operating_system="LINUX", running_mode="AUTO_STOP", region=REGION, team="one",
    )  # fmt: skip
    machine = workspaces.launch(actor=ann, spec=spec, now=now).workspace
    _ask_for_more(command, ann, organization, machine, now)
    for verb, states in (
        (workspaces.stop, ("STOPPING", "STOPPED")),
        (workspaces.start, ("STARTING", "AVAILABLE")),
        (workspaces.terminate, ()),
    ):
        asks = replace(ann, correlation_id=uuid7())
        verb(actor=asks, workspace_id=machine.id, now=now)
        _arrive(machine.id, states, asks, now)
        if "STOPPED" in states:
            _advise(command, ann, machine.id, now)


def _ask_for_more(command, ann, organization, machine, now):
    """The launch arrives; then whatever else can be asked of a machine, an account or an organization."""
    _arrive(machine.id, ("AVAILABLE",), ann, now)
    longer = partial(workspaces.modify, wanted={"auto_stop_timeout_minutes": 120})
    tagged = partial(workspaces.tag, tags={"purpose": "build"})
    for verb in (longer, tagged, workspaces.reboot, workspaces.rebuild, workspaces.restore):
        asks = replace(ann, correlation_id=uuid7())
        verb(actor=asks, workspace_id=machine.id, now=now)
        _arrive(machine.id, (), asks, now)
    workspaces.bulk(actor=replace(ann, correlation_id=uuid7()), verb="stop", workspace_ids=[machine.id], now=now)
    workspaces.lease(actor=ann, workspace_id=machine.id, until=now + timedelta(hours=1), reason="a test", now=now)
    account = ProviderAccount.objects.get(organization=organization)
    create_policy(actor=command, organization=organization, ceilings={"idle_minutes": 240}, now=now)
    create_latency(
        actor=command, organization=organization, place="Berlin", region=REGION, milliseconds=90, source="test", now=now
    )
    create_region_policy(actor=command, organization=organization, team=machine.team, regions=[REGION], now=now)
    adopting.ask(actor=command, account=account, wish=Wish(), now=now)
    stack = Stack("apps", "apps", "ON_DEMAND", "RUNNING", "stream.standard.medium", "STANDARD", "LINUX", ("editor",))
    with transaction.atomic():
        keep(account, None, stack, actor=command, now=now)
    admin = accounts.create_member(
        actor=command, organization=organization, email=f"bea@{organization.slug}.example", full_name="Bea",
        role="admin", now=now,
    ).user  # fmt: skip
    attest(
        actor=world.actor(admin), account=account, controls=["usb"], valid_until=now + timedelta(days=9), note="a test",
        now=now,
    )  # fmt: skip
    create_webhook(
        actor=world.actor(admin), organization_id=organization.id, name="w", url="https://hooks.example.com/", now=now
    )
    _give_bill(command, organization, account, now)
    _have_reports(command, admin, now)
    wrong = Difference(organization.id, "", 1, Decimal(1), Decimal(2))
    faults.keep(kind="DAILY", day=now.date(), found=[wrong], actor=command, now=now)
    deviation = Deviation(account.directory_id, INTERNET)
    keeping.keep(
        account=account, subjects=[account.directory_id], checks=[INTERNET], deviations=[deviation], actor=command,
        now=now,
    )  # fmt: skip
    Operation.objects.open().update(status="succeeded", finished_at=now, next_attempt_at=None)


def _give_bill(command, organization, account, now):
    """A bill of the last month, booked: it names a machine that nobody has."""
    month = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)).replace(day=1)
    lines = [sheets.line(f"ws-{organization.slug}", "1", at=month, month=month, account=account.account)]
    with tempfile.TemporaryDirectory() as folder:
        path = sheets.as_csv(Path(folder) / "bill.csv", lines)
        import_file(actor=command, organization=organization, path=path, now=now)


def _have_reports(command, admin, now):
    """A report of this month, and a subscription to one."""
    asked = Asked(admin.organization, ReportKind.SHOWBACK, ReportBy.TEAM, month_of(now))
    _, report = make(actor=command, asked=asked, form=ReportFormat.CSV, now=now)
    report.file.close()
    subscribe(
        actor=world.actor(admin), organization=admin.organization, team=None, kind=ReportKind.SHOWBACK,
        by=ReportBy.TEAM, now=now,
    )  # fmt: skip


def _advise(command, ann, machine_id, now):
    """Advice on a stopped machine: dismissed, found to hold no longer, and carried out."""
    machine = WorkSpace.objects.select_related("organization").get(pk=machine_id)
    for kind, changes in (("RIGHT_SIZE", {"bundle_type": "POWER"}), ("RUNNING_MODE", {"running_mode": "ALWAYS_ON"})):
        proposal = Proposal(
            machine=machine, kind=kind, action="MODIFY", changes=changes, saving=Decimal(1),
            confidence=Confidence.LOW, price_ids=[], evidence={},
        )  # fmt: skip
        advice_rows.keep(machines=[machine], proposals=[proposal], actor=command, now=now)
        if kind == "RIGHT_SIZE":
            advice.dismiss(actor=ann, advice_id=Advice.objects.get(workspace=machine).id, reason="a test", now=now)
    with override_settings(FORGE_ADVICE_IDLE_DAYS=0):
        advise(now=now, actor=command)
        unused = Advice.objects.get(workspace=machine, kind="IDLE")
        advice.accept(actor=replace(ann, correlation_id=uuid7()), advice_id=unused.id, now=now)
    _arrive(machine_id, (), ann, now)


def hide(superuser, table, only):
    """Slip in a row like the newest of the table, as if its event had never been recorded; answers its id."""
    where = f"WHERE {only[0]} = '{only[1]}'" if only else "WHERE organization_id IS NOT NULL"
    if table == "accounts_organization":
        where = ""
    (newest,) = superuser(f"SELECT to_jsonb(row) FROM {table} AS row {where} ORDER BY id DESC LIMIT 1").fetchone()
    id_ = newest["id"] + 1 if isinstance(newest["id"], int) else str(uuid7())
    changes = {"id": id_, **_apart(table, newest)}
    (columns,) = superuser(
        "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        table,
    ).fetchone()
    superuser(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, %s::jsonb)",
        json.dumps(newest | changes),
    )
    return str(id_)


def _apart(table, row):
    """What must differ so that the database's own rules let it in, and what the log is searched by."""
    fresh = str(uuid7())
    if table == "workspaces_regionpolicy":
        return {"team_id": _another_team(row, fresh)}
    if table == "costs_advice":
        return {"effective_at": row["decided_at"]} if row["status"] == "ACCEPTED" else {"kind": "RUNNING_MODE"}
    return {
        "accounts_organization": {"slug": fresh},
        "accounts_team": {"slug": fresh},
        "accounts_project": {"slug": fresh},
        "accounts_user": {"email": f"{fresh}@robco.example", "directory_username": fresh},
        "accounts_membership": {"team_id": None, "role": "admin"},
        "accounts_apitoken": {"prefix": fresh[-12:]},
        "blueprints_blueprint": {"version": 2},
        "budgets_budget": {"is_active": False},
        "budgets_budgetraise": {},
        "costs_bill": {"sha256": fresh},
        "costs_bookfault": {"subject": fresh},
        "costs_tagkey": {"key": fresh},
        "costs_issuedreport": {},
        "costs_price": {"running_mode": "ALWAYS_ON", "hourly_amount": "0"},
        "costs_reportsubscription": {"by": "project"},
        "operations_operation": {"correlation_id": fresh},
        "outbox_webhook": {},
        "workspaces_applicationstack": {"name": fresh},
        "workspaces_attestation": {},
        "workspaces_finding": {"subject": fresh},
        "workspaces_lifecyclepolicy": {"blueprint_name": fresh},
        "workspaces_provideraccount": {"name": fresh, "enabled": False},
        "workspaces_regionlatency": {"place": fresh},
        "workspaces_statechange": {"correlation_id": fresh},
        "workspaces_worklease": {},
        "workspaces_workspace": {"directory_user": fresh},
    }[table]


def _another_team(policy, slug):
    """A team that has no policy yet: one per team is the database's own rule."""
    organization = Organization.objects.get(pk=policy["organization_id"])
    made = accounts.create_team(actor=Actor.command("tests"), organization=organization, name="Other", slug=slug)
    return str(made.pk)


def _arrive(workspace_id, states, actor, now):
    """End the machine's open operation as its worker would: the machine in these states, one after the other."""
    with transaction.atomic():
        lock_scopes_of(workspace_id)
        machine = lock_machine(workspace_id)
        for state in states:
            move(workspace=machine, target=state, occurred_at=now, reason="test", actor=actor, now=now)
        Operation.objects.open().filter(target_id=workspace_id).update(
            status="succeeded", finished_at=now, next_attempt_at=None
        )


def _terms(now):
    return costs.PriceTerms(
        region=REGION, bundle_type="STANDARD", operating_system="LINUX", running_mode="AUTO_STOP",
        monthly_amount=Decimal("9.75"), hourly_amount=Decimal("0.30"), currency="USD", source="test",
        as_of=now.date(), valid_from=now.replace(minute=0, second=0, microsecond=0),
    )  # fmt: skip
