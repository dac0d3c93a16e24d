"""Who exists: organizations, people, teams, projects and their roles."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q, Value
from django.db.models.functions import Lower

from forge.db.models import TimestampedModel, UUIDModel
from forge.db.prefixes import searched


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def visible_to(self, user: User) -> OrganizationQuerySet:
        """One's own; operators of the installation see all."""
        return self if user.is_operator else self.filter(pk=user.organization_id)


class Organization(UUIDModel, TimestampedModel):
    """One customer: everything with a tenant belongs to exactly one; money is in its one currency."""

    slug = models.SlugField(max_length=63, db_index=False)
    name = models.CharField(max_length=200)
    timezone = models.CharField(max_length=64, default="UTC", help_text="For display and schedules; data is UTC.")
    currency = models.CharField(max_length=3, default="USD", help_text="ISO 4217")
    is_active = models.BooleanField(default=True)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["slug"], name="accounts_organization_slug_unique"),
            models.CheckConstraint(
                name="accounts_organization_currency_is_iso4217", condition=Q(currency__regex=r"^[A-Z]{3}$")
            ),
        ]

    def __str__(self) -> str:
        return self.name


class UserQuerySet(models.QuerySet["User"]):
    def visible_to(self, user: User) -> UserQuerySet:
        """Colleagues: admins and auditors see all people of the organization, a lead the team's, others themselves."""
        if user.is_operator:
            return self
        people = self.filter(organization_id=user.organization_id)
        if user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return people
        team = Membership.objects.filter(team_id__in=user.led_team_ids()).values("user_id")
        return people.filter(Q(id=user.id) | Q(id__in=team))


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, UUIDModel, TimestampedModel):
    """A person who signs in, or an operator of the installation (organization null); or a service, which never does.

    A service acts by its tokens alone.
    """

    class Kind(models.TextChoices):
        PERSON = "PERSON", "Person"
        SERVICE = "SERVICE", "Service"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PERSON, db_default="PERSON")
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="users"
    )
    email = models.EmailField(max_length=254)
    full_name = models.CharField(max_length=200)
    external_id = models.CharField(max_length=200, blank=True, default="")
    directory_username = models.CharField(
        max_length=63, blank=True, default="", help_text="User name in the AWS directory; empty = no machine possible."
    )
    location = models.CharField(max_length=64, blank=True, default="")
    time_zone = models.CharField(max_length=64, blank=True, default="")
    credentials_expire_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    search_email = searched("email", max_length=254)
    search_name = searched("full_name", max_length=200)
    search_surname = searched(Func(F("full_name"), Value(" "), Value(-1), function="split_part"), max_length=200)
    search_directory_user = searched("directory_username", max_length=63)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager.from_queryset(UserQuerySet)()

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="accounts_user_email_unique_whatever_case"),
            models.UniqueConstraint(
                "organization",
                Lower("directory_username"),
                condition=~Q(directory_username=""),
                name="accounts_user_directory_username_unique",
            ),
            models.UniqueConstraint(
                fields=["organization", "external_id"],
                condition=~Q(external_id=""),
                name="accounts_user_external_id_unique",
            ),
            models.CheckConstraint(
                name="accounts_user_service_has_no_password",
                condition=Q(kind="PERSON")
                | Q(kind="SERVICE", organization__isnull=False, directory_username="", password__startswith="!"),  # noqa: S106 - opens nothing
            ),
        ]
        # Operators look into all organizations, so what is searched stands in front of them.
        indexes = [
            models.Index("search_email", "organization", name="accounts_user_by_email"),
            models.Index("search_name", "organization", "id", name="accounts_user_by_name"),
            models.Index("search_surname", "organization", name="accounts_user_by_surname"),
            models.Index("search_directory_user", "organization", name="accounts_user_by_directory"),
        ]

    def __str__(self) -> str:
        return self.full_name or self.email

    @property
    def is_service(self) -> bool:
        """True for an account that no person signs in to."""
        return self.kind == self.Kind.SERVICE

    @property
    def is_operator(self) -> bool:
        """True for the people who run the installation; they belong to no organization."""
        return self.organization_id is None

    @cached_property
    def roles(self) -> list[tuple[str, uuid.UUID | None]]:
        """(role, team id or None) of every membership, read once per instance."""
        return list(self.memberships.order_by("id").values_list("role", "team_id"))

    def has_role(self, *roles: str) -> bool:
        """True when any membership carries one of `roles`, whatever its team."""
        return any(role in roles for role, _ in self.roles)

    def role_in(self, team_id: uuid.UUID | None) -> str | None:
        """The role in the team, else the organization-wide one, else None."""
        wide = [role for role, team in self.roles if team is None]
        own = [role for role, team in self.roles if team is not None and team == team_id]
        return next(iter(own + wide), None)

    def team_ids(self) -> list[uuid.UUID]:
        """Teams in which the person has any role."""
        return [team for _, team in self.roles if team is not None]

    def led_team_ids(self) -> list[uuid.UUID]:
        """Teams that the person leads."""
        return [team for role, team in self.roles if role == Membership.Role.TEAM_LEAD and team is not None]

    def visible_user_ids(self) -> models.QuerySet[Any, Any]:
        """Ids of those whose doings the person may see, as a subquery: the own, and `managed_user_ids`."""
        return User.objects.filter(Q(id=self.id) | Q(id__in=self.managed_user_ids())).values("id")

    def managed_user_ids(self) -> models.QuerySet[Any, Any]:
        """Ids of the contractors and engineers of the teams that the person leads, as a subquery.

        Not of those who oversee others anywhere: nobody gains power over an admin by an engineer's role in a team.
        """
        overseers = Membership.objects.filter(user_id=OuterRef("user_id"), role__in=Membership.OVERSIGHT)
        people = Membership.objects.filter(team_id__in=self.led_team_ids(), role__in=Membership.MANAGED_BY_LEADS)
        return people.filter(~Exists(overseers)).values_list("user_id", flat=True)

    def credentials_valid(self, now: Any) -> bool:
        """False once `credentials_expire_at` is reached, or when the account is switched off."""
        expired = self.credentials_expire_at is not None and self.credentials_expire_at <= now
        return self.is_active and not expired

    @property
    def is_staff(self) -> bool:
        """Who may enter the console: operators of the installation and the roles that oversee others."""
        return self.is_operator or self.has_role(*Membership.OVERSIGHT)

    def has_perm(self, perm: str, obj: object | None = None) -> bool:
        """Django's permission names are not used: admin classes ask for roles (forge.adminkit)."""
        return self.is_active and self.is_operator

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_staff


class TeamQuerySet(models.QuerySet["Team"]):
    def visible_to(self, user: User) -> TeamQuerySet:
        """All of the organization for its organization-wide roles, else the teams one is in."""
        if user.is_operator:
            return self
        teams = self.filter(organization_id=user.organization_id)
        if user.has_role(*Membership.ORGANIZATION_WIDE):
            return teams
        return teams.filter(id__in=user.team_ids())


class Team(UUIDModel, TimestampedModel):
    """People who share blueprints and a budget."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="teams")
    slug = models.SlugField(max_length=63, db_index=False)
    name = models.CharField(max_length=200)

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="accounts_team_slug_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: User) -> ProjectQuerySet:
        """All of the organization for its organization-wide roles, else those that one's teams may charge."""
        if user.is_operator:
            return self
        projects = self.filter(organization_id=user.organization_id)
        if user.has_role(*Membership.ORGANIZATION_WIDE):
            return projects
        return projects.chargeable_by(user.team_ids())

    def chargeable_by(self, team_ids: list[uuid.UUID]) -> ProjectQuerySet:
        """Projects open to all teams, or to one of `team_ids`."""
        return self.filter(Q(teams__isnull=True) | Q(teams__in=team_ids)).distinct()


class Project(UUIDModel, TimestampedModel):
    """Something that machines are charged to."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_index=False, related_name="projects")
    slug = models.SlugField(max_length=63, db_index=False)
    name = models.CharField(max_length=200)
    cost_center = models.CharField(max_length=100, blank=True, default="")
    owner = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="owned_projects")
    teams = models.ManyToManyField(
        Team, blank=True, related_name="projects", help_text="Teams that may charge it; none = all."
    )

    objects = ProjectQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="accounts_project_slug_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class MembershipQuerySet(models.QuerySet["Membership"]):
    def visible_to(self, user: User) -> MembershipQuerySet:
        """Admins and auditors see every role of the organization, a lead the team's, others their own."""
        if user.is_operator:
            return self
        memberships = self.filter(organization_id=user.organization_id)
        if user.has_role(Membership.Role.ADMIN, Membership.Role.AUDITOR):
            return memberships
        return memberships.filter(Q(user_id=user.id) | Q(team_id__in=user.led_team_ids()))


class Membership(UUIDModel, TimestampedModel):
    """The role that a person has, in a team or (team null) in the whole organization."""

    class Role(models.TextChoices):
        CONTRACTOR = "contractor", "Contractor"
        ENGINEER = "engineer", "Engineer"
        TEAM_LEAD = "team_lead", "Team lead"
        FINANCE = "finance", "Finance"
        AUDITOR = "auditor", "Auditor"
        ADMIN = "admin", "Admin"

    IN_TEAM = (Role.CONTRACTOR, Role.ENGINEER, Role.TEAM_LEAD)
    ORGANIZATION_WIDE = (Role.FINANCE, Role.AUDITOR, Role.ADMIN)
    OF_SERVICES = (Role.ENGINEER, Role.FINANCE, Role.AUDITOR)
    SERVICE_ROLES = (("engineer", "Engineer"), ("finance", "Finance"), ("auditor", "Auditor"))
    MANAGED_BY_LEADS = (Role.CONTRACTOR, Role.ENGINEER)
    OVERSIGHT = (Role.TEAM_LEAD, Role.FINANCE, Role.AUDITOR, Role.ADMIN)

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "team"], nulls_distinct=False, name="accounts_membership_one_role_per_team"
            ),
            models.CheckConstraint(
                name="accounts_membership_team_matches_role",
                condition=Q(role__in=["contractor", "engineer", "team_lead"], team__isnull=False)
                | Q(role__in=["finance", "auditor", "admin"], team__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.get_role_display()} of {self.team or self.organization}"
