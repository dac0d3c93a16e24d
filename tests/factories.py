"""Objects for tests, made directly through the ORM; a WorkSpace comes with the state changes that led to it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache

import factory
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from factory.django import DjangoModelFactory

from blueprints.models import Blueprint, BlueprintBundle
from budgets.models import FRACTIONS, Budget, BudgetThreshold, Reservation
from forge.accounts.models import Membership, Organization, Project, Team, User
from forge.db.ids import uuid7
from workspaces.bundles import BUNDLES
from workspaces.models import ApplicationStack, ProviderAccount, StateChange, UnmanagedMachine, WorkSpace

PASSWORD = "correct horse battery staple"


@cache
def hashed_password():
    """PASSWORD as stored; hashed once, because a good hash is slow."""
    return make_password(PASSWORD)


class OrganizationFactory(DjangoModelFactory):
    class Meta:
        model = Organization

    slug = factory.Sequence("org-{}".format)
    name = factory.LazyAttribute(lambda o: o.slug.title())


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory)
    email = factory.Sequence("person{}@example.com".format)
    full_name = factory.Sequence("Person {}".format)
    directory_username = factory.Sequence("person{}".format)
    password = factory.LazyFunction(hashed_password)


class TeamFactory(DjangoModelFactory):
    class Meta:
        model = Team

    organization = factory.SubFactory(OrganizationFactory)
    slug = factory.Sequence("team-{}".format)
    name = factory.LazyAttribute(lambda o: o.slug.title())


class ProjectFactory(DjangoModelFactory):
    class Meta:
        model = Project

    organization = factory.SubFactory(OrganizationFactory)
    slug = factory.Sequence("project-{}".format)
    name = factory.LazyAttribute(lambda o: o.slug.title())


class MembershipFactory(DjangoModelFactory):
    """An engineer of a team; `role=` an organization-wide one needs `team=None`."""

    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    organization = factory.SelfAttribute("user.organization")
    team = factory.SubFactory(TeamFactory, organization=factory.SelfAttribute("..organization"))
    role = Membership.Role.ENGINEER


class BlueprintFactory(DjangoModelFactory):
    """A published version that offers STANDARD in us-east-1."""

    class Meta:
        model = Blueprint
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence("blueprint-{}".format)
    version = 1
    operating_system = "LINUX"
    status = Blueprint.Status.PUBLISHED
    content_hash = "0" * 64
    published_at = datetime(2026, 1, 1, tzinfo=UTC)
    bundle = factory.RelatedFactory("tests.factories.BlueprintBundleFactory", "blueprint")

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        """Made as a draft, since what is published takes no more bundles; `_after_postgeneration` publishes it."""
        published = {name: kwargs.pop(name) for name in ("status", "content_hash", "published_at")}
        made = super()._create(model_class, *args, **kwargs)
        made.wanted = published
        return made

    @classmethod
    def _after_postgeneration(cls, instance, create, results=None):
        if instance.wanted["status"] != Blueprint.Status.DRAFT:
            publish(instance, **instance.wanted)


def publish(blueprint, **facts):
    """Publish a draft to which bundles were added by hand."""
    published = {"status": "PUBLISHED", "content_hash": "0" * 64, "published_at": datetime(2026, 1, 1, tzinfo=UTC)}
    for name, value in {**published, **facts}.items():
        setattr(blueprint, name, value)
    blueprint.save()
    return blueprint


class BlueprintBundleFactory(DjangoModelFactory):
    class Meta:
        model = BlueprintBundle

    blueprint = factory.SubFactory(BlueprintFactory, bundle=None)
    organization = factory.SelfAttribute("blueprint.organization")
    region = "us-east-1"
    bundle_type = "STANDARD"
    bundle_id = factory.Sequence("wsb-{:09d}".format)
    image_id = factory.Sequence("wsi-{:09d}".format)


class ProviderAccountFactory(DjangoModelFactory):
    """The organization's account in us-east-1; one enabled account per organization and region."""

    class Meta:
        model = ProviderAccount
        django_get_or_create = ("organization", "region")

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.LazyAttribute(lambda o: f"simulator in {o.region}")
    kind = ProviderAccount.Kind.SIMULATOR
    account = "123456789012"
    region = "us-east-1"
    directory_id = factory.Sequence("d-{:010d}".format)


class ApplicationStackFactory(DjangoModelFactory):
    """A stack that AWS offers and was seen to keep closed, with a fleet that runs."""

    class Meta:
        model = ApplicationStack

    organization = factory.SubFactory(OrganizationFactory)
    provider_account = factory.SubFactory(ProviderAccountFactory, organization=factory.SelfAttribute("..organization"))
    name = factory.Sequence("stack-{}".format)
    fleet_name = factory.SelfAttribute("name")
    fleet_type = "ON_DEMAND"
    fleet_state = "RUNNING"
    instance_type = "stream.standard.medium"
    bundle_type = "STANDARD"
    operating_system = "WINDOWS"
    application_ids = factory.LazyFunction(lambda: ["cad-viewer", "code-editor"])
    closed_at = factory.LazyFunction(lambda: datetime.now(UTC))


class WorkSpaceFactory(DjangoModelFactory):
    """A machine and its history: `history=[(instant, state), …]`, else one that has been AVAILABLE for an hour.

    `state`, `state_since`, `launched_at`, `stopped_at` and `terminated_at` follow from the history.
    """

    class Meta:
        model = WorkSpace
        skip_postgeneration_save = True

    history = factory.LazyFunction(
        lambda: [
            (datetime.now(UTC) - timedelta(minutes=65), "PENDING"),
            (datetime.now(UTC) - timedelta(minutes=60), "AVAILABLE"),
        ]
    )
    organization = factory.SubFactory(OrganizationFactory)
    owner = factory.SubFactory(UserFactory, organization=factory.SelfAttribute("..organization"))
    team = factory.SubFactory(TeamFactory, organization=factory.SelfAttribute("..organization"))
    name = factory.Sequence("machine-{}".format)
    bundle_type = "STANDARD"
    operating_system = "LINUX"
    running_mode = WorkSpace.RunningMode.AUTO_STOP
    blueprint = factory.SubFactory(BlueprintFactory, organization=factory.SelfAttribute("..organization"))
    root_volume_gb = factory.LazyAttribute(lambda o: BUNDLES[o.bundle_type].root_volume_gb)
    user_volume_gb = factory.LazyAttribute(lambda o: BUNDLES[o.bundle_type].user_volume_gb)
    region = "us-east-1"
    provider_account = factory.SubFactory(
        ProviderAccountFactory,
        organization=factory.SelfAttribute("..organization"),
        region=factory.SelfAttribute("..region"),
    )
    aws_account = factory.SelfAttribute("provider_account.account")
    directory_id = factory.SelfAttribute("provider_account.directory_id")
    directory_user = factory.Sequence("person{}".format)
    created_at = factory.LazyAttribute(lambda o: o.history[0][0])
    state = factory.LazyAttribute(lambda o: o.history[-1][1])
    state_since = factory.LazyAttribute(lambda o: o.history[-1][0])
    launched_at = factory.LazyAttribute(lambda o: _first(o.history, "AVAILABLE"))
    stopped_at = factory.LazyAttribute(lambda o: _first(reversed(o.history), "STOPPED"))
    terminated_at = factory.LazyAttribute(
        lambda o: o.history[-1][0] if o.history[-1][1] in ("TERMINATED", "FAILED") else None
    )

    @classmethod
    def _create(cls, model_class, *args, **kwargs):
        history = kwargs.pop("history", None)
        machine = super()._create(model_class, *args, **kwargs)
        if history:
            write_history(machine, history)
        return machine


class UnmanagedMachineFactory(DjangoModelFactory):
    """A STANDARD Linux machine that AWS shows as stopped, of `owner=` and `team=`."""

    class Meta:
        model = UnmanagedMachine

    organization = factory.SelfAttribute("provider_account.organization")
    provider_account = factory.SubFactory(ProviderAccountFactory)
    provider_id = factory.Sequence(lambda n: f"ws-{n:09d}")
    directory_id = factory.SelfAttribute("provider_account.directory_id")
    directory_user = factory.SelfAttribute("owner.directory_username")
    bundle_id = "wsb-0123456789"
    bundle_type = "STANDARD"
    operating_system = "AMAZON_LINUX_2"
    running_mode = "AUTO_STOP"
    root_volume_gb = 80
    user_volume_gb = 50
    provider_state = "STOPPED"
    verdict = UnmanagedMachine.Verdict.ADOPTABLE
    first_seen_at = factory.LazyFunction(timezone.now)


def write_history(machine, history, source=""):
    """The append-only rows of the changes in `history`, the first one coming from state `source`."""
    changes = []
    for at, state in history:
        changes.append(
            StateChange(
                organization_id=machine.organization_id,
                workspace=machine,
                from_state=source,
                to_state=state,
                occurred_at=at,
                reason="test",
                actor_kind="JOB",
                correlation_id=uuid7(),
            )
        )
        source = state
    StateChange.objects.bulk_create(changes)


def _first(history, state):
    return next((at for at, reached in history if reached == state), None)


class BudgetFactory(DjangoModelFactory):
    """An adopted budget of 100.00 for an organization (or `scope=`, `scope_id=`) in March 2026, with its thresholds."""

    class Meta:
        model = Budget
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory)
    scope = Budget.Scope.ORGANIZATION
    scope_id = factory.SelfAttribute("organization.id")
    amount = Decimal(100)
    period_start = datetime(2026, 3, 1, tzinfo=UTC)
    period_end = datetime(2026, 4, 1, tzinfo=UTC)
    adopted_at = factory.SelfAttribute("period_start")

    @factory.post_generation
    def thresholds(self, create, extracted, **kwargs):
        BudgetThreshold.objects.bulk_create(
            BudgetThreshold(organization=self.organization, budget=self, fraction=fraction) for fraction in FRACTIONS
        )


class ReservationFactory(DjangoModelFactory):
    """What a machine holds in a budget; the budget's own figure is for the test to set."""

    class Meta:
        model = Reservation

    budget = factory.SubFactory(BudgetFactory)
    organization = factory.SelfAttribute("budget.organization")
    workspace = factory.SubFactory(WorkSpaceFactory, organization=factory.SelfAttribute("..organization"))
    amount = Decimal("21.75")
    remaining = factory.SelfAttribute("amount")
    correlation_id = factory.LazyFunction(uuid7)
