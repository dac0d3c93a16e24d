"""People, teams, projects and tokens as the API shows and takes them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from forge.accounts.models import ApiToken, Membership, Organization, Project, Team, User, UserSession
from forge.accounts.scopes import SCOPES
from forge.api.fields import Matching, Slug, Text


class OrganizationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Organization
        fields = ["id", "slug", "name", "timezone", "currency", "is_active", "created_at"]
        read_only_fields = fields


class TeamSerializer(serializers.ModelSerializer):
    class Meta:
        model = Team
        fields = ["id", "slug", "name", "created_at"]
        read_only_fields = fields


class TeamCreateSerializer(serializers.Serializer):
    example = {"slug": "platform", "name": "Platform"}

    slug = Slug(max_length=63)
    name = Text(max_length=200)


class ProjectSerializer(serializers.ModelSerializer):
    teams = serializers.SlugRelatedField("slug", many=True, read_only=True)
    owner = serializers.EmailField(source="owner.email", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Project
        fields = ["id", "slug", "name", "cost_center", "owner", "teams", "created_at"]
        read_only_fields = fields


class ProjectCreateSerializer(serializers.Serializer):
    example = {"slug": "apollo", "name": "Apollo", "cost_center": "r-100", "teams": ["platform"]}

    slug = Slug(max_length=63)
    name = Text(max_length=200)
    cost_center = Text(max_length=100, required=False, default="", allow_blank=True)
    owner = serializers.EmailField(required=False, allow_null=True, default=None)
    teams = serializers.ListField(child=Slug(max_length=63), required=False, default=list, max_length=200)


class ProjectChangeSerializer(serializers.Serializer):
    """What of a project changes; what is not named stays, an `owner` null is none."""

    example = {"cost_center": "r-200", "owner": "owner@example.com"}

    name = Text(max_length=200, required=False)
    cost_center = Text(max_length=100, required=False, allow_blank=True)
    owner = serializers.EmailField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Name at least one field to change.")
        return attrs


class MembershipSerializer(serializers.ModelSerializer):
    """A person's role in a team, or (team null) in the organization."""

    user_id = serializers.UUIDField(read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)
    full_name = serializers.CharField(source="user.full_name", read_only=True)
    directory_username = serializers.CharField(source="user.directory_username", read_only=True)
    is_active = serializers.BooleanField(source="user.is_active", read_only=True)
    credentials_expire_at = serializers.DateTimeField(
        source="user.credentials_expire_at", read_only=True, allow_null=True
    )
    team = serializers.CharField(source="team.slug", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Membership
        fields = [
            "id",
            "user_id",
            "email",
            "full_name",
            "directory_username",
            "team",
            "role",
            "is_active",
            "credentials_expire_at",
            "created_at",
        ]
        read_only_fields = fields


class MemberCreateSerializer(serializers.Serializer):
    """A new person with a first role; one who exists gets the role in the team besides, and keeps the own name."""

    example = {
        "email": "ada@example.com",
        "full_name": "Ada Example",
        "directory_username": "ada",
        "team": "platform",
        "role": "engineer",
    }

    email = serializers.EmailField(max_length=254)
    full_name = Text(max_length=200)
    directory_username = Matching(r"^[\w.@\\-]{1,63}$", required=False, default="", allow_blank=True)
    team = Slug(max_length=63, required=False, allow_null=True, default=None)
    role = serializers.ChoiceField(Membership.Role.choices)
    location = Text(max_length=64, required=False, default="", allow_blank=True)
    credentials_expire_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class TokenSerializer(serializers.ModelSerializer):
    """A token without its secret."""

    user = serializers.EmailField(source="user.email", read_only=True)

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "user",
            "name",
            "prefix",
            "interface",
            "scopes",
            "networks",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "created_at",
        ]
        read_only_fields = fields


class SessionSerializer(serializers.ModelSerializer):
    """Where the caller is signed in by a browser."""

    is_current = serializers.SerializerMethodField(help_text="Whether it is the session of this very request.")

    class Meta:
        model = UserSession
        fields = ["id", "source_ip", "user_agent", "seen_at", "expires_at", "created_at", "is_current"]
        read_only_fields = fields

    def get_is_current(self, session: UserSession) -> bool:
        request = self.context["request"]
        return request.auth is None and session.session_key == request.session.session_key


class ServiceAccountSerializer(serializers.ModelSerializer):
    """A service: an account that acts by tokens alone."""

    name = serializers.CharField(source="full_name", read_only=True)
    roles = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ["id", "name", "roles", "is_active", "credentials_expire_at", "created_at"]
        read_only_fields = fields

    def get_roles(self, user: User) -> list[dict[str, str | None]]:
        return [{"role": row.role, "team": row.team.slug if row.team else None} for row in user.memberships.all()]


class ServiceAccountCreateSerializer(serializers.Serializer):
    example = {"name": "nightly-build", "role": "engineer", "team": "platform"}

    name = Slug(max_length=63)
    role = serializers.ChoiceField(Membership.SERVICE_ROLES)
    team = Slug(max_length=63, required=False, allow_null=True, default=None)
    credentials_expire_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class TokenWithSecretSerializer(TokenSerializer):
    """The one answer that shows the token itself."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class TokenCreateSerializer(serializers.Serializer):
    example = {
        "name": "laptop",
        "interface": "CLI",
        "scopes": ["read"],
        "networks": ["192.0.2.0/24"],
        "expires_at": "2027-06-30T00:00:00Z",
    }

    name = Text(max_length=100)
    interface = serializers.ChoiceField(ApiToken.Interface.choices, default=ApiToken.Interface.API)
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES), required=False, default=list)
    networks = serializers.ListField(
        child=Text(max_length=43),
        required=False,
        default=list,
        max_length=20,
        help_text="Networks in CIDR from which it may be used; none = from everywhere.",
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class RoleSerializer(serializers.Serializer):
    role = serializers.CharField()
    team = serializers.CharField(allow_null=True)


class MeSerializer(serializers.ModelSerializer):
    """The caller."""

    organization = OrganizationSerializer(read_only=True)
    roles = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = [
            "id",
            "email",
            "full_name",
            "directory_username",
            "location",
            "time_zone",
            "credentials_expire_at",
            "organization",
            "roles",
        ]
        read_only_fields = fields

    def get_roles(self, user: User) -> list[dict[str, str | None]]:
        memberships = user.memberships.select_related("team").order_by("id")
        return [{"role": row.role, "team": row.team.slug if row.team else None} for row in memberships]
