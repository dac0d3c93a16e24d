"""Rows of a world that an address can name, one maker per kind and state."""

from datetime import UTC, timedelta
from decimal import Decimal
from uuid import uuid4

from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from audit import actions, holds
from audit.actors import Actor, Interface, Kind
from audit.exports import services as exports
from audit.services import record
from blueprints.services import BundleOffer, of_adopted
from budgets.models import Budget, BudgetRaise, Reservation
from costs import services as prices
from costs.advice.sweep import advise
from costs.bills import files
from costs.bills import services as bills
from costs.models import Advice
from costs.showback import services as reports
from costs.showback.figures import Asked
from costs.showback.models import ReportBy, ReportFormat, ReportKind, ReportSubscription
from costs.tags.services import choose_tag_key
from forge.accounts.models import Membership, SignInGuard, UserSession
from forge.accounts.services import create_service_account
from forge.accounts.signin.factors import close
from forge.accounts.token_services import issue_token
from forge.api.models import DenialCount
from forge.db.ids import uuid7
from forge.db.models import JobSwitch
from forge.db.months import month_of
from forge.operations.models import Operation
from forge.operations.services import enqueue
from forge.outbox.models import Mail, Webhook
from forge.outbox.webhooks import keeping
from forge.outbox.webhooks.pings import ping_of
from tests import factories
from tests.costs.bills import sheets
from workspaces.models import (
    Attestation,
    Finding,
    LifecyclePolicy,
    Quarantine,
    RegionLatency,
    RegionPolicy,
    UsageSample,
    WorkLease,
)

COMMAND = Actor.command("walk")


def hour(*, ahead: int = 0):
    return timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=ahead)


def membership(world):
    return Membership.objects.get(user=world.engineer)


def empty_organization(world):
    return factories.OrganizationFactory()


def newcomer(world):
    """The role in the team of somebody who has not come in yet, and was not invited just now."""
    made = factories.MembershipFactory(user__organization=world.organization, team=world.team)
    made.user.set_unusable_password()
    made.user.save()
    return made


def token(world):
    return issue_token(actor=COMMAND, user=world.engineer, name="walk", now=timezone.now())[0]


def service(world):
    """A service account with the role of an auditor."""
    facts = {"organization": world.organization, "role": "auditor", "now": timezone.now()}
    return create_service_account(actor=COMMAND, name="walk", **facts).user


def session(world):
    """Where the engineer is signed in by a browser."""
    key, until = uuid4().hex, timezone.now() + timedelta(hours=1)
    Session.objects.create(session_key=key, session_data="", expire_date=until)
    facts = {"organization": world.organization, "user": world.engineer, "seen_at": timezone.now(), "expires_at": until}
    return UserSession.objects.create(session_key=key, **facts)


def locked_person(world):
    until = timezone.now() + timedelta(minutes=9)
    SignInGuard.objects.create(user=world.engineer, organization=world.organization, locked_until=until)
    return world.engineer


def person_with_factor(world):
    Authenticator.objects.create(user=world.engineer, type="totp", data={"secret": close("secret")})
    return world.engineer


def machine(world, *states, owner=None):
    """The engineer's or `owner`'s, AVAILABLE or with `states` after that."""
    at = timezone.now() - timedelta(hours=2)
    history = [(at + timedelta(minutes=n), state) for n, state in enumerate(("PENDING", "AVAILABLE", *states))]
    return factories.WorkSpaceFactory(
        organization=world.organization,
        owner=owner or world.engineer,
        team=world.team,
        blueprint=world.blueprint,
        provider_account=world.account,
        provider_id=f"ws-{uuid7().hex[-9:]}",
        history=history,
    )


def leaving_its_project(world):
    """A machine that is charged to the world's project."""
    row = machine(world)
    type(row).objects.filter(pk=row.pk).update(project=world.project)
    row.refresh_from_db()
    return row


def leased(world, *, provider_id):
    """A machine that AWS knows by this id, with a work lease of some hours."""
    row = machine(world)
    type(row).objects.filter(pk=row.pk).update(provider_id=provider_id)
    now = timezone.now()
    terms = {"until": now + timedelta(hours=9), "reason": "a test", "created_at": now}
    return WorkLease.objects.create(organization=world.organization, workspace=row, created_by=row.owner, **terms)


def connectable(world):
    row = machine(world)
    type(row).objects.filter(pk=row.pk).update(
        connection_url="https://example.com/webclient#registrationCode=SLiad+ABC"
    )
    return row


def stack(world):
    return factories.ApplicationStackFactory(organization=world.organization, provider_account=world.account)


def stopped(world):
    return machine(world, "STOPPING", "STOPPED")


def unused(world, *, owner=None):
    """A machine that has been stopped for a month."""
    at = timezone.now() - timedelta(days=30)
    history = [(at - timedelta(hours=1), "PENDING"), (at - timedelta(minutes=30), "AVAILABLE"), (at, "STOPPED")]
    return factories.WorkSpaceFactory(
        organization=world.organization, owner=owner or world.engineer, team=world.team, blueprint=world.blueprint,
        provider_account=world.account, provider_id=f"ws-{uuid7().hex[-9:]}", history=history,
    )  # fmt: skip


def advice(world):
    """The advice to end a machine that nobody uses."""
    unused(world)
    advise(now=timezone.now(), actor=COMMAND)
    return Advice.objects.get(organization=world.organization)


def unattended_advice(world):
    """The advice to stop a machine that has run for two days without a sign of use."""
    at = timezone.now() - timedelta(days=2)
    row = factories.WorkSpaceFactory(
        organization=world.organization, owner=world.engineer, team=world.team, blueprint=world.blueprint,
        provider_account=world.account, provider_id=f"ws-{uuid7().hex[-9:]}",
        history=[(at - timedelta(minutes=5), "PENDING"), (at, "AVAILABLE")],
    )  # fmt: skip
    UsageSample.objects.bulk_create(
        UsageSample(
            workspace=row, organization=row.organization, at=at + timedelta(hours=hour), source="CLOUDWATCH",
            connected=False, cpu=1, memory=20,
        )
        for hour in range(48)
    )  # fmt: skip
    advise(now=timezone.now(), actor=COMMAND)
    return Advice.objects.get(organization=world.organization)


def policy(world):
    return LifecyclePolicy.objects.create(organization=world.organization, team=world.team, idle_minutes=30)


def latency(world):
    return RegionLatency.objects.create(
        organization=world.organization, place="berlin", region="us-east-1", milliseconds=90, source="a test"
    )


def region_policy(world):
    return RegionPolicy.objects.create(organization=world.organization, team=world.team, regions=["us-east-1"])


def attestation(world):
    now = timezone.now()
    return Attestation.objects.create(
        organization=world.organization, provider_account=world.account, directory_id=world.account.directory_id,
        control="usb", attested_by=world.admin, attested_at=now, valid_until=now + timedelta(days=9), note="a test",
    )  # fmt: skip


def kept(world):
    row = machine(world)
    type(row).objects.filter(pk=row.pk).update(keep_alive=True, keep_alive_reason="a reason")
    return row


def left_behind(world):
    """The machine, in use, of somebody who is switched off."""
    gone = factories.UserFactory(organization=world.organization, is_active=False)
    return machine(world, owner=gone)


def quarantined(world):
    """The machine of somebody who is switched off, with its quarantine."""
    row, at = left_behind(world), timezone.now()
    Quarantine.objects.create(
        organization=world.organization, workspace=row, began_at=at, kept_until=at + timedelta(days=30), heir=world.lead
    )
    type(row).objects.filter(pk=row.pk).update(quarantined_at=at)
    return row


def operation(world, *, owner=None, **facts):
    """The queued stop of a machine."""
    target = machine(world, owner=owner)
    made = enqueue(
        id=uuid7(),
        organization_id=world.organization.id,
        actor_id=world.engineer.id,
        owner_id=world.engineer.id,
        team_id=world.team.id,
        kind="workspace.stop",
        target_type="WorkSpace",
        target_id=target.id,
        spec={},
        correlation_id=uuid7(),
        now=timezone.now(),
    )
    Operation.objects.filter(pk=made.pk).update(**facts)
    return Operation.objects.get(pk=made.pk)


def running(world):
    at = timezone.now()
    leased = {"lease_expires_at": at + timedelta(minutes=5), "heartbeat_at": at, "started_at": at}
    return operation(world, status="running", fencing_token=1, leased_by="somebody", **leased)


def unknown(world):
    return operation(world, status="unknown")


def unmanaged(world):
    """A machine of somebody new that AWS shows, of a bundle that was met before."""
    owner = factories.MembershipFactory(user__organization=world.organization, team=world.team, role="engineer").user
    made = factories.UnmanagedMachineFactory(provider_account=world.account, owner=owner, team=world.team)
    offer = BundleOffer(world.account.region, made.bundle_type, made.bundle_id)
    of_adopted(
        actor=COMMAND, organization=world.organization, operating_system="LINUX", offer=offer, now=timezone.now()
    )
    return made


def finding(world):
    """An open finding on the account's directory, of what AWS, here the simulator, does not show (any more)."""
    return Finding.objects.create(
        organization=world.organization,
        provider_account=world.account,
        subject=world.account.directory_id,
        check_name="internet_access",
        severity="HIGH",
        found_at=timezone.now(),
    )


def draft(world):
    return factories.BlueprintFactory(organization=world.organization, team=world.team, bundle=None, status="DRAFT")


def offering_draft(world):
    made = draft(world)
    factories.BlueprintBundleFactory(blueprint=made)
    return made


def owned_budget(world):
    return budget(world, owner=world.lead)


def budget(world, **facts):
    return factories.BudgetFactory(
        organization=world.organization, period_start=hour(ahead=-24), period_end=hour(ahead=240), **facts
    )


def giver(world):
    """The budget of the world's team."""
    return budget(world, scope="TEAM", scope_id=world.team.id)


def receiver(organization):
    """The budget of another team, and its slug."""
    team = factories.TeamFactory(organization=organization)
    made = factories.BudgetFactory(
        organization=organization, scope="TEAM", scope_id=team.id, period_start=hour(ahead=-24),
        period_end=hour(ahead=240),
    )  # fmt: skip
    return made, team.slug


def budget_raise(world):
    raised = budget(world, raised=5)
    return BudgetRaise.objects.create(
        organization=world.organization, budget=raised, amount=5, ends_at=hour(ahead=9), reason="a reason",
        approved_by=world.finance,
    )  # fmt: skip


def budget_off(world):
    return budget(world, is_active=False, adopted_at=None)


def price_terms(world):
    """A price since five hours ago."""
    return prices.PriceTerms(
        region="us-east-1", bundle_type="STANDARD", operating_system="LINUX", running_mode="AUTO_STOP",
        monthly_amount=Decimal(1), hourly_amount=Decimal(1), currency=world.organization.currency, source="walk",
        as_of=timezone.now().date(), valid_from=hour(ahead=-5),
    )  # fmt: skip


def price(world):
    terms = price_terms(world)
    return prices.set_price(
        actor=COMMAND, organization=world.organization, terms=terms, now=timezone.now(), reason="walked"
    )


def bill_text(world):
    """A bill of the last month in CUR, with a line of a machine that nobody has."""
    month = (hour().replace(day=1, hour=0) - timedelta(days=1)).replace(day=1)
    return sheets.text(
        [sheets.line(f"ws-{uuid7().hex[-9:]}", "1", at=month, month=month, account=world.account.account)]
    )


def bill(world):
    actor = Actor.of_user(world.finance)
    with files.received([bill_text(world)]) as file:
        return bills.receive(
            actor=actor, organization=world.organization, name="walk.csv", file=file, now=timezone.now()
        )[0]


def tag_key(world):
    actor = Actor.of_user(world.finance)
    return choose_tag_key(actor=actor, organization=world.organization, key="purpose", now=timezone.now())


def report_subscription(world):
    """Made in time for the report of the last month."""
    made_at = hour().replace(day=1) - timedelta(days=1)
    return ReportSubscription.objects.create(
        organization=world.organization, user=world.finance, by="team", created_at=made_at
    )


def issued_report(world):
    asked = Asked(world.organization, ReportKind.SHOWBACK, ReportBy.TEAM, month_of(hour()))
    issued, report = reports.make(actor=COMMAND, asked=asked, form=ReportFormat.CSV, now=timezone.now())
    report.file.close()
    return issued


def account_off(world):
    return factories.ProviderAccountFactory(organization=world.organization, region="eu-west-1", enabled=False)


def switched_off_person(world):
    return factories.MembershipFactory(
        user__organization=world.organization, user__is_active=False, team=world.team
    ).user


def job_switch(world):
    return JobSwitch.objects.create(job="meter_costs", is_paused=False)


def hold(world):
    return holds.place(
        actor=Actor.of_user(world.admin), user_id=world.engineer.id, reason="a reason", now=timezone.now()
    )


def export(world):
    actor = Actor.of_user(world.auditor)
    return exports.ask(actor=actor, organization_id=world.organization.id, form="csv", filters={}, now=timezone.now())[
        0
    ]


def expired_export(world):
    """Its file is past its days, and its operation has ended."""
    made = export(world)
    ended = {"status": "succeeded", "finished_at": timezone.now(), "next_attempt_at": None}
    Operation.objects.filter(pk=made.operation_id).update(**ended)
    type(made).objects.filter(pk=made.pk).update(expires_at=timezone.now())
    return made


def gone_person(world):
    """An entry of somebody who has no account any more."""
    actor = Actor(
        kind=Kind.USER, interface=Interface.PORTAL, user_id=uuid7(), email="gone@example.com",
        organization_id=world.organization.id, source_ip="203.0.113.9",
    )  # fmt: skip
    with transaction.atomic():
        record(actor=actor, action=actions.OTHER, resource_type="Thing", resource_id="1", description="Did a thing")


def reservation(world):
    held = machine(world)
    return Reservation.objects.create(
        budget=budget(world), organization=world.organization, workspace=held, amount=1, remaining=1,
        correlation_id=uuid7(),
    )  # fmt: skip


def mail(world, **facts):
    """A mail about a mark of a budget, to be sent."""
    key = uuid7()
    return Mail.objects.create(
        id=key, organization_id=world.organization.id, recipient_id=world.lead.id, kind="budget.mark",
        target_type="Budget", target_id=uuid7(), dedupe_key=str(key), message_id=f"<{key}@forge.invalid>",
        **{"due_at": timezone.now(), **facts},
    )  # fmt: skip


def mail_given_up(world):
    return mail(world, state=Mail.State.GIVEN_UP, due_at=None, attempts=12, last_error="OSError: no route")


def webhook(world, **facts):
    """One about money, that an admin made; nobody answers there."""
    wanted = {
        "organization_id": world.organization.id, "name": "walk", "url": "https://hooks.example.com/in",
        "kinds": ["budget.mark"], "is_about_money": True, "owner_id": world.admin.id,
        "secret": keeping.close(b"s" * 32),
    }  # fmt: skip
    return Webhook.objects.create(**{**wanted, **facts})


def webhook_off(world):
    return webhook(world, state=Webhook.State.OFF)


def webhook_delivery(world):
    made = ping_of(webhook(world), now=timezone.now())
    made.save()
    return made


def denial_count(world):
    """A minute gone by, of which two more answers are to be told."""
    at = timezone.now() - timedelta(minutes=5)
    return DenialCount.objects.create(
        minute=at.replace(second=0, microsecond=0), source_ip="203.0.113.9", credential_prefix="", status=401, count=3,
        last_at=at,
    )  # fmt: skip


def spent(world):
    """A budget over both of its marks."""
    return Budget.objects.get(pk=budget(world, spent=100).pk)
