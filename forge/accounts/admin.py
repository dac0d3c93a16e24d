"""People, teams, projects, roles and tokens in the console, added by forms and changed by buttons of services."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.forms.models import construct_instance
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from forge.accounts import actions, services, token_services
from forge.accounts.models import ApiToken, Membership, Organization, Project, Team, User, UserSession
from forge.accounts.scopes import SCOPES
from forge.accounts.searching import FindsPeople
from forge.accounts.signin import factors, guarding, sessions
from forge.adminkit.admin import ForgeModelAdmin
from forge.adminkit.buttons import Button, ShownOnce

Role = Membership.Role


class ServiceForm(forms.ModelForm):
    """A form whose service judges the rules between fields, in words that people understand."""

    def _post_clean(self) -> None:
        """As Django's, without the model's constraints: the service refuses what they forbid, and says why."""
        try:
            self.instance = construct_instance(self, self.instance, self._meta.fields, self._meta.exclude)
            self.instance.full_clean(
                exclude=self._get_validation_exclusions(), validate_unique=False, validate_constraints=False
            )
        except ValidationError as error:
            self._update_errors(error)


class OwnOrganizationAdmin(ForgeModelAdmin):
    """Rows are added in the organization of whoever adds them, so operators of the installation add none."""

    form = ServiceForm

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not request.user.is_operator and super().has_add_permission(request, obj)


class AdminForm(forms.Form):
    """Who is to be the first admin."""

    email = forms.EmailField(max_length=254, widget=UnfoldAdminEmailInputWidget)
    full_name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)


def _add_admin(request: HttpRequest, organization: Organization, *, email: str, full_name: str) -> str:
    services.create_first_admin(
        actor=request.actor,  # type: ignore[attr-defined]
        organization=organization,
        email=email,
        full_name=full_name,
        now=timezone.now(),
    )
    return f"{email} is invited as admin of {organization}."


@admin.register(Organization)
class OrganizationAdmin(ForgeModelAdmin):
    """Operators of the installation add organizations; everybody else sees the own one."""

    audit_add = actions.ORGANIZATION_CREATE
    form = ServiceForm
    view_roles = ("admin", "auditor", "finance", "team_lead")
    list_display = ("name", "slug", "currency", "timezone", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("id__exact", "name", "slug")
    ordering = ("name",)
    buttons = (
        Button(
            "add-admin",
            "Add the first admin",
            actions.MEMBER_CREATE,
            icon="person_add",
            variant=ActionVariant.PRIMARY,
            run=_add_admin,
            form=AdminForm,
            legal=lambda user, row: (
                user.is_operator and row.is_active and not services.has_admin(row, now=timezone.now())
            ),
            explain=lambda _, row: [
                f"The person is invited by mail and adds the others of {row}.",
                "While no admin has come in, this can be done again, for another address.",
            ],
        ),
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_operator

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fields = ("name", "slug", "timezone", "currency")
        return fields if obj is None else (*fields, "is_active", "created_at", "updated_at")

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Organization:
        return services.create_organization(actor=request.actor, **form.cleaned_data)


class TokenForm(forms.Form):
    """What a new token is for, and for how long."""

    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget)
    interface = forms.ChoiceField(choices=ApiToken.Interface.choices, widget=UnfoldAdminSelectWidget)
    days = forms.IntegerField(min_value=1, max_value=3650, initial=90, widget=UnfoldAdminIntegerFieldWidget)
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None = all that the person may do.",
    )
    networks = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="Networks in CIDR from which it may be used, separated by commas; empty = from everywhere.",
    )

    def clean_networks(self) -> list[str]:
        return [one.strip() for one in self.cleaned_data["networks"].split(",") if one.strip()]


def _is_admin_over(user: Any, organization_id: Any) -> bool:
    return user.is_operator or (user.organization_id == organization_id and user.has_role(Role.ADMIN))


def _switch(is_active: bool) -> Any:
    def run(request: HttpRequest, user: User) -> str:
        services.set_active(actor=request.actor, user=user, is_active=is_active)  # type: ignore[attr-defined]
        return f"{user} is switched {'on' if is_active else 'off'}."

    return run


def _issue_token(
    request: HttpRequest,
    user: User,
    *,
    name: str,
    interface: str,
    days: int,
    scopes: Sequence[str],
    networks: Sequence[str],
) -> ShownOnce:
    now = timezone.now()
    _, text = token_services.issue_token(
        actor=request.actor,  # type: ignore[attr-defined]
        user=user,
        name=name,
        interface=interface,
        scopes=scopes,
        networks=networks,
        expires_at=now + timedelta(days=days),
        now=now,
    )
    return ShownOnce(f"The new token of {user}; it is shown this once.", text)


def _unlock(request: HttpRequest, user: User) -> str:
    guarding.unlock(actor=request.actor, user=user, now=timezone.now())  # type: ignore[attr-defined]
    return f"{user} can sign in again."


def _invite_again(request: HttpRequest, user: User) -> str:
    services.invite_again(actor=request.actor, user=user, now=timezone.now())  # type: ignore[attr-defined]
    return f"{user} gets another invitation."


def _reset_factors(request: HttpRequest, user: User) -> str:
    factors.reset(actor=request.actor, user=user)  # type: ignore[attr-defined]
    return f"{user} has no second factor any more."


@admin.register(User)
class UserAdmin(FindsPeople, ForgeModelAdmin):
    person = "pk"
    view_roles = ("team_lead", "auditor", "admin")
    list_display = ("full_name", "email", "directory_username", "location", "is_active", "credentials_expire_at")
    list_filter = ("kind", "is_active", "organization")
    ordering = ("search_name", "id")
    export_ordering = ("-id",)
    export_fields = (
        "id", "full_name", "email", "directory_username", "kind", "organization__slug", "location", "time_zone",
        "external_id", "is_active", "credentials_expire_at", "last_login", "created_at",
    )  # fmt: skip
    fields = (
        "full_name",
        "email",
        "kind",
        "organization",
        "shown_roles",
        "directory_username",
        "external_id",
        "location",
        "time_zone",
        "credentials_expire_at",
        "is_active",
        "last_login",
        "created_at",
    )
    buttons = (
        Button(
            "switch-off",
            "Switch off",
            actions.MEMBER_UPDATE,
            icon="person_off",
            variant=ActionVariant.DANGER,
            run=_switch(False),
            legal=lambda user, row: row.is_active and _is_admin_over(user, row.organization_id),
            explain=lambda _, row: [
                f"{row} can no longer sign in, and no token of {row} works. Machines run on until somebody ends them."
            ],
            typed=lambda row: row.email,
        ),
        Button(
            "switch-on",
            "Switch on",
            actions.MEMBER_UPDATE,
            icon="person",
            run=_switch(True),
            legal=lambda user, row: not row.is_active and _is_admin_over(user, row.organization_id),
        ),
        Button(
            "issue-token",
            "Issue token",
            actions.TOKEN_CREATE,
            icon="key",
            run=_issue_token,
            form=TokenForm,
            legal=lambda user, row: row.is_active and _is_admin_over(user, row.organization_id),
            explain=lambda _, row: [f"Whoever holds the token acts as {row}. It is shown once."],
        ),
        Button(
            "invite-again",
            "Invite again",
            actions.MEMBER_INVITE,
            icon="forward_to_inbox",
            run=_invite_again,
            legal=lambda user, row: row.is_active and services.is_awaited(row) and services.may_invite(user, row),
            explain=lambda _, row: [f"{row.email} gets another mail with a link; links that were sent before end."],
        ),
        Button(
            "unlock",
            "Unlock",
            actions.ACCOUNT_UNLOCK,
            icon="lock_open",
            run=_unlock,
            legal=lambda user, row: (
                _is_admin_over(user, row.organization_id) and guarding.is_locked(row, timezone.now())
            ),
            explain=lambda _, row: [f"{row} can sign in again at once, and so can whoever guesses."],
        ),
        Button(
            "reset-factors",
            "Reset second factors",
            actions.MFA_RESET,
            icon="phonelink_erase",
            variant=ActionVariant.DANGER,
            run=_reset_factors,
            legal=lambda user, row: (
                user.pk != row.pk and _is_admin_over(user, row.organization_id) and bool(factors.held(row))
            ),
            explain=lambda _, row: [
                f"{row} is signed out everywhere and signs in by the password alone until a new factor is set up.",
                "Make sure that it is really this person who asks.",
            ],
            typed=lambda row: row.email,
        ),
    )

    @display(description="roles")
    def shown_roles(self, user: User) -> str:
        held = user.memberships.select_related("team", "organization").order_by("id")
        return "; ".join(f"{row.get_role_display()} of {row.team or row.organization}" for row in held) or "None."


@admin.register(Team)
class TeamAdmin(OwnOrganizationAdmin):
    audit_add = actions.TEAM_CREATE
    view_roles = ("team_lead", "finance", "auditor")
    add_roles = ("admin",)
    list_display = ("name", "slug", "organization", "created_at")
    list_filter = ("organization",)
    list_select_related = ("organization",)
    search_fields = ("id__exact", "name", "slug")
    ordering = ("name", "id")
    fields = ("name", "slug")

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Team:
        organization = services.organization_of(request.user)
        return services.create_team(actor=request.actor, organization=organization, **form.cleaned_data)


class ProjectForm(forms.Form):
    """What of a project changes; the boxes hold what it has."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    cost_center = forms.CharField(max_length=100, required=False, widget=UnfoldAdminTextInputWidget)
    owner = forms.EmailField(
        max_length=254, required=False, label="Email of the owner; empty = none", widget=UnfoldAdminEmailInputWidget
    )


def _change_project(request: HttpRequest, project: Project, *, name: str, cost_center: str, owner: str) -> str:
    person = services.person_of(project.organization_id, owner) if owner else None
    asked = {"name": name, "cost_center": cost_center, "owner": person}
    services.change_project(
        actor=request.actor,  # type: ignore[attr-defined]
        project_id=project.pk,
        wanted={field: value for field, value in asked.items() if value != getattr(project, field)} or asked,
        now=timezone.now(),
    )
    return "The project is changed."


@admin.register(Project)
class ProjectAdmin(OwnOrganizationAdmin):
    audit_add = actions.PROJECT_CREATE
    view_roles = ("team_lead", "finance", "auditor")
    add_roles = ("admin",)
    list_display = ("name", "slug", "cost_center", "owner", "organization", "created_at")
    list_filter = ("organization",)
    list_select_related = ("owner", "organization")
    search_fields = ("id__exact", "name", "slug", "cost_center")
    ordering = ("name", "id")
    fields = ("name", "slug", "cost_center", "owner", "teams")
    buttons = (
        Button(
            "change",
            "Change",
            actions.PROJECT_UPDATE,
            icon="edit",
            run=_change_project,
            form=ProjectForm,
            initial=lambda row: {
                "name": row.name,
                "cost_center": row.cost_center,
                "owner": row.owner.email if row.owner else "",
            },
            legal=lambda user, row: not user.is_operator and _is_admin_over(user, row.organization_id),
            explain=lambda _, row: [
                f"Its cost center is {row.cost_center or 'none'}; another one counts for hours that begin from now on.",
                "What was booked, and the hour that has begun, keep the old one. Tags in AWS follow soon.",
            ],
        ),
    )

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Project:
        organization = services.organization_of(request.user)
        return services.create_project(actor=request.actor, organization=organization, **form.cleaned_data)


class MemberForm(ServiceForm):
    """A person and a role; somebody whom the organization has already is found by the email."""

    email = forms.EmailField(max_length=254, widget=UnfoldAdminEmailInputWidget)
    full_name = forms.CharField(
        max_length=200, required=False, widget=UnfoldAdminTextInputWidget, help_text="Needed for somebody new."
    )
    directory_username = forms.RegexField(
        r"^[\w.@\\-]{1,63}\Z",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="User name in the AWS directory; empty = no machine possible.",
    )
    credentials_expire_at = forms.SplitDateTimeField(
        required=False, widget=UnfoldAdminSplitDateTimeWidget, help_text="Must be set for a contractor."
    )

    def clean(self) -> dict[str, Any]:
        """The words of a new person without a name are refused before the service is asked."""
        cleaned = super().clean()
        known = User.objects.filter(email__iexact=cleaned.get("email", "")).exists()
        if "email" in cleaned and not known and not cleaned.get("full_name"):
            self.add_error("full_name", "Give the name of somebody new.")
        return cleaned


def _take_away(request: HttpRequest, membership: Membership) -> str:
    services.revoke_role(actor=request.actor, membership=membership)  # type: ignore[attr-defined]
    return "The role is taken away."


def _may_take_away(user: Any, membership: Membership) -> bool:
    lead = membership.team_id in user.led_team_ids() and membership.role in Membership.MANAGED_BY_LEADS
    return lead or _is_admin_over(user, membership.organization_id)


@admin.register(Membership)
class MembershipAdmin(FindsPeople, OwnOrganizationAdmin):
    audit_add = actions.MEMBER_CREATE
    view_roles = ("auditor",)
    add_roles = ("team_lead", "admin")
    list_display = ("user", "role", "team", "organization", "created_at")
    list_filter = ("role", "team")
    list_select_related = ("user", "team", "organization")
    ordering = ("-id",)
    export_fields = (
        "id", "user__full_name", "user__email", "role", "team__slug", "organization__slug", "created_at",
    )  # fmt: skip
    buttons = (
        Button(
            "take-away",
            "Take away",
            actions.ROLE_CHANGE,
            icon="person_remove",
            variant=ActionVariant.DANGER,
            run=_take_away,
            legal=_may_take_away,
            explain=lambda _, row: [f"{row.user} is then no longer {row.get_role_display()}; machines stay."],
        ),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change=change, **kwargs | ({} if obj else {"form": MemberForm}))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("email", "full_name", "role", "team", "directory_username", "credentials_expire_at")
        return ("user", "role", "team", "organization", "created_at")

    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Membership:
        organization = services.organization_of(request.user)
        return services.add_member(
            actor=request.actor, organization=organization, now=timezone.now(), **form.cleaned_data
        )


def _revoke(request: HttpRequest, token: ApiToken) -> str:
    token_services.revoke_token(actor=request.actor, token=token, now=timezone.now())  # type: ignore[attr-defined]
    return "The token works no more."


@admin.register(ApiToken)
class ApiTokenAdmin(FindsPeople, ForgeModelAdmin):
    """Without the hash of the secret, which is nobody's business."""

    view_roles = ("team_lead", "auditor", "admin")
    list_display = ("name", "prefix", "user", "interface", "shown_state", "expires_at", "last_used_at", "created_at")
    list_filter = ("interface",)
    list_select_related = ("user",)
    found_by = ("prefix", "name")
    ordering = ("-id",)
    fields = (
        "name",
        "prefix",
        "user",
        "organization",
        "interface",
        "scopes",
        "networks",
        "shown_state",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "created_at",
    )
    buttons = (
        Button(
            "revoke",
            "Revoke",
            actions.TOKEN_REVOKE,
            icon="key_off",
            variant=ActionVariant.DANGER,
            run=_revoke,
            legal=lambda user, row: row.revoked_at is None and token_services.may_revoke(user, row),
            explain=lambda _, row: [f"Whatever uses {row.name} stops working at once; this cannot be undone."],
        ),
    )

    @display(description="state", label={"live": "success", "expired": "warning", "revoked": "danger"})
    def shown_state(self, token: ApiToken) -> str:
        if token.revoked_at is not None:
            return "revoked"
        return "live" if token.is_live(timezone.now()) else "expired"


def _end_session(request: HttpRequest, session: UserSession) -> str:
    sessions.revoke(actor=request.actor, session=session)  # type: ignore[attr-defined]
    return "The session has ended."


@admin.register(UserSession)
class UserSessionAdmin(FindsPeople, ForgeModelAdmin):
    """Where people are signed in; without the key, which would open the session."""

    view_roles = ("auditor", "admin")
    list_display = ("user", "source_ip", "user_agent", "seen_at", "expires_at", "created_at")
    list_select_related = ("user",)
    ordering = ("-id",)
    fields = ("user", "organization", "source_ip", "user_agent", "seen_at", "expires_at", "created_at")
    buttons = (
        Button(
            "end",
            "End",
            actions.SESSION_REVOKE,
            icon="logout",
            variant=ActionVariant.DANGER,
            run=_end_session,
            legal=sessions.may_end,
            explain=lambda _, row: [f"{row.user} is signed out there at once; what was not saved is lost."],
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(sessions.is_live(timezone.now()))
