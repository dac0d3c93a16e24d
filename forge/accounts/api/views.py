"""`/api/v1/` me, organizations, teams, projects, members, tokens."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from forge.accounts import actions, services, token_services
from forge.accounts.api import serializers
from forge.accounts.models import ApiToken, Membership, Organization, Project, Team, User, UserSession
from forge.accounts.signin import sessions
from forge.api.errors import Refused
from forge.api.filters import ForgeFilterSet, refuse_unknown
from forge.api.idempotency import idempotent, refuse_key
from forge.api.scoping import InOwnScope
from forge.api.views import ForgeViewSet, ReadViewSet


class UnknownTeam(Refused):
    code = "unknown_team"
    title = "There is no such team"


class MeView(InOwnScope):
    """Who the caller is, and in which roles."""

    @extend_schema(responses={200: serializers.MeSerializer})
    def get(self, request: Request) -> Response:
        refuse_unknown(request, ())
        return Response(serializers.MeSerializer(request.user).data)


class OrganizationViewSet(ReadViewSet):
    """The caller's organization; operators of the installation see all."""

    queryset = Organization.objects.all()
    serializer_class = serializers.OrganizationSerializer
    audit_resource = "Organization"
    ordering_fields = ("name", "created_at")
    ordering = "name"


class TeamViewSet(ReadViewSet):
    """Teams that the caller may see."""

    queryset = Team.objects.all()
    serializer_class = serializers.TeamSerializer
    ordering_fields = ("slug", "created_at")
    ordering = "slug"
    search_fields = ("slug", "name")
    audit_resource = "Team"
    audit_action = actions.TEAM_CREATE

    @extend_schema(request=serializers.TeamCreateSerializer, responses={201: serializers.TeamSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Make a team."""
        wanted = self.validated(serializers.TeamCreateSerializer)
        team = services.create_team(actor=self.actor, organization=services.organization_of(request.user), **wanted)
        return self.created(team, self.body_of(team), address=f"/api/v1/teams/{team.pk}/")


class ProjectViewSet(ReadViewSet):
    """Projects that the caller's teams may charge."""

    queryset = Project.objects.select_related("owner").prefetch_related("teams")
    serializer_class = serializers.ProjectSerializer
    ordering_fields = ("slug", "created_at")
    ordering = "slug"
    search_fields = ("slug", "name", "cost_center")
    has_etag = True
    audit_resource = "Project"
    audit_action = {"create": actions.PROJECT_CREATE, "partial_update": actions.PROJECT_UPDATE}

    @extend_schema(request=serializers.ProjectCreateSerializer, responses={201: serializers.ProjectSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Make a project; without teams every team may charge it."""
        wanted = self.validated(serializers.ProjectCreateSerializer)
        organization = services.organization_of(request.user)
        owner = wanted.pop("owner")
        project = services.create_project(
            actor=self.actor,
            organization=organization,
            owner=services.person_of(organization.pk, owner) if owner else None,
            teams=[_team(request.user, slug) for slug in wanted.pop("teams")],
            **wanted,
        )
        return self.created(project, self.body_of(project), address=f"/api/v1/projects/{project.pk}/")

    @extend_schema(request=serializers.ProjectChangeSerializer, responses={200: serializers.ProjectSerializer})
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change name, cost center or owner; costs of the hours before keep the cost center that held then."""
        project = self.get_object()
        organization = services.organization_of(request.user)
        wanted = self.validated(serializers.ProjectChangeSerializer)
        if wanted.get("owner"):
            wanted["owner"] = services.person_of(organization.pk, wanted["owner"])
        changed = services.change_project(
            actor=self.actor, project_id=project.pk, wanted=wanted, now=timezone.now(), if_match=self.if_match
        )
        return self.shown(changed, self.body_of(changed))


class MemberFilterSet(ForgeFilterSet):
    team = filters.CharFilter(field_name="team__slug", label="Slug of the team.")
    email = filters.CharFilter(field_name="user__email", lookup_expr="iexact", label="Email of the person.")

    class Meta:
        model = Membership
        fields = {"role": ["exact", "in"]}


class MemberViewSet(ReadViewSet):
    """Roles of people: all for admins and auditors, the team's for its lead, else one's own."""

    queryset = Membership.objects.select_related("user", "team")
    serializer_class = serializers.MembershipSerializer
    filterset_class = MemberFilterSet
    ordering_fields = ("created_at",)
    ordering = "created_at"
    search_fields = ("user__email", "user__full_name")
    audit_resource = "Membership"
    audit_action = {
        "create": actions.MEMBER_CREATE,
        "destroy": actions.ROLE_CHANGE,
        "invite": actions.MEMBER_INVITE,
    }

    @extend_schema(request=serializers.MemberCreateSerializer, responses={201: serializers.MembershipSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a person with a role; one whom the organization has gets the role, and a new end if one is given."""
        wanted = self.validated(serializers.MemberCreateSerializer)
        organization = services.organization_of(request.user)
        slug = wanted.pop("team")
        team = _team(request.user, slug) if slug else None
        membership = services.add_member(
            actor=self.actor, organization=organization, team=team, now=timezone.now(), **wanted
        )
        return self.created(membership, self.body_of(membership), address=f"/api/v1/members/{membership.pk}/")

    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Take the role away; the person stays."""
        services.revoke_role(actor=self.actor, membership=self.get_object())
        return Response(status=204)

    @extend_schema(request=None, responses={200: serializers.MembershipSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def invite(self, request: Request, pk: str | None = None) -> Response:
        """Send the person, who has not come in yet, another invitation; links that were sent before end."""
        membership = self.get_object()
        services.invite_again(actor=self.actor, user=membership.user, now=timezone.now())
        return Response(self.body_of(membership))


class TokenViewSet(ListModelMixin, ForgeViewSet):
    """One's own tokens, and without secrets those that admins, auditors and leads may see."""

    queryset = ApiToken.objects.select_related("user")
    serializer_class = serializers.TokenSerializer
    ordering_fields = ("created_at",)
    ordering = "-created_at"
    audit_resource = "ApiToken"
    audit_action = {"create": actions.TOKEN_CREATE, "revoke": actions.TOKEN_REVOKE}

    @extend_schema(request=serializers.TokenCreateSerializer, responses={201: serializers.TokenWithSecretSerializer})
    def create(self, request: Request) -> Response:
        """Issue a token for oneself; the secret is shown this once, so an Idempotency-Key is refused."""
        refuse_key(request)
        wanted = self.validated(serializers.TokenCreateSerializer)
        token, text = token_services.issue_token(actor=self.actor, user=request.user, now=timezone.now(), **wanted)
        return self.created(token, {**self.body_of(token), "token": text}, address=f"/api/v1/tokens/{token.pk}/")

    @extend_schema(request=None, responses={200: serializers.TokenSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def revoke(self, request: Request, pk: str | None = None) -> Response:
        """End a token at once."""
        token = token_services.revoke_token(actor=self.actor, token=self.get_object(), now=timezone.now())
        return Response(self.body_of(token))


class ServiceAccountViewSet(ReadViewSet):
    """Accounts of services, for whoever sees the people of the organization."""

    queryset = User.objects.filter(kind=User.Kind.SERVICE).prefetch_related("memberships__team")
    serializer_class = serializers.ServiceAccountSerializer
    ordering_fields = ("full_name", "created_at")
    ordering = "full_name"
    search_fields = ("full_name",)
    audit_resource = "User"
    audit_action = {"create": actions.SERVICE_ACCOUNT_CREATE, "tokens": actions.TOKEN_CREATE}

    @extend_schema(
        request=serializers.ServiceAccountCreateSerializer, responses={201: serializers.ServiceAccountSerializer}
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Make a service account with its role."""
        wanted = self.validated(serializers.ServiceAccountCreateSerializer)
        slug = wanted.pop("team")
        membership = services.create_service_account(
            actor=self.actor,
            organization=services.organization_of(request.user),
            team=_team(request.user, slug) if slug else None,
            now=timezone.now(),
            **wanted,
        )
        service = membership.user
        return self.created(service, self.body_of(service), address=f"/api/v1/service-accounts/{service.pk}/")

    @extend_schema(request=serializers.TokenCreateSerializer, responses={201: serializers.TokenWithSecretSerializer})
    @action(detail=True, methods=["post"], audit_resource="ApiToken")
    def tokens(self, request: Request, pk: str | None = None) -> Response:
        """Issue a token of the service, with an end; the secret is shown this once."""
        refuse_key(request)
        service = self.get_object()
        wanted = self.validated(serializers.TokenCreateSerializer)
        token, text = token_services.issue_token(actor=self.actor, user=service, now=timezone.now(), **wanted)
        body = serializers.TokenSerializer(token, context=self.get_serializer_context()).data
        return self.created(token, {**body, "token": text}, address=f"/api/v1/tokens/{token.pk}/")


class MySessionViewSet(ListModelMixin, ForgeViewSet):
    """Where the caller is signed in by a browser."""

    queryset = UserSession.objects.all()
    serializer_class = serializers.SessionSerializer
    ordering_fields = ("seen_at", "created_at")
    ordering = "-seen_at"
    audit_resource = "UserSession"
    audit_action = {"destroy": actions.SESSION_REVOKE}

    def get_queryset(self) -> QuerySet[UserSession]:
        """The caller's own, whoever else's the caller may see."""
        return super().get_queryset().filter(sessions.is_live(timezone.now()), user_id=self.request.user.pk)

    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Sign that browser out at once."""
        sessions.revoke(actor=self.actor, session=self.get_object())
        return Response(status=204)


def _team(user: User, slug: str) -> Team:
    team = Team.objects.visible_to(user).filter(slug=slug).first()
    if team is None:
        raise UnknownTeam(f"You see no team {slug!r}.")
    return team
