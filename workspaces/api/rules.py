"""The rules in the API: what lies ahead of a machine, leases, longer lifetimes, and the policies that bind them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forge.accounts.models import Team
from forge.accounts.services import organization_of
from forge.api.errors import Refused
from forge.api.etags import conditional
from forge.api.fields import Text
from forge.api.filters import ForgeFilterSet
from forge.api.idempotency import idempotent
from forge.api.views import ReadViewSet
from workspaces import actions
from workspaces.api.serializers import MonthlyPriceSerializer
from workspaces.models import Decision, LifecyclePolicy, WorkLease
from workspaces.rules import policies
from workspaces.rules.models import MOST_KEEP_ALIVE_DAYS, MOST_LIFETIME_DAYS
from workspaces.services.leasing import Leased


class ExtendSerializer(serializers.Serializer):
    """Until when the lifetime shall last, or how many days longer, and why."""

    example = {"days": 30, "reason": "The project goes on until March."}

    until = serializers.DateTimeField(required=False)
    days = serializers.IntegerField(min_value=1, max_value=MOST_LIFETIME_DAYS, required=False)
    reason = Text(max_length=500)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("until" in attrs) == ("days" in attrs):
            raise serializers.ValidationError({"until": "Give either `until` or `days`."})
        return attrs


class LeaseSerializer(serializers.Serializer):
    """Until when the machine works, and at what."""

    example = {"until": "2027-01-09T06:00:00Z", "reason": "A simulation runs over night."}

    until = serializers.DateTimeField()
    reason = Text(max_length=500)


class WorkLeaseSerializer(serializers.ModelSerializer):
    """A lease as it was given."""

    created_by = serializers.EmailField(source="created_by.email", read_only=True)

    class Meta:
        model = WorkLease
        fields = ["id", "until", "reason", "created_by", "created_at"]
        read_only_fields = fields


class LeasedSerializer(WorkLeaseSerializer):
    """A new lease: `holds_until` is when it ends, or the hard deadline at which the machine is stopped in any case.

    `held_in_aws_until` is how long AWS's own AutoStop waits if nobody connects meanwhile: at most 48 hours.
    """

    holds_until = serializers.DateTimeField(read_only=True)
    hard_deadline = serializers.DateTimeField(read_only=True, allow_null=True)
    held_in_aws_until = serializers.DateTimeField(read_only=True)

    class Meta(WorkLeaseSerializer.Meta):
        fields = [*WorkLeaseSerializer.Meta.fields, "holds_until", "hard_deadline", "held_in_aws_until"]
        read_only_fields = fields


def leased(answer: Leased) -> dict[str, Any]:
    """The body that answers a new lease."""
    answer.lease.holds_until = answer.holds_until  # type: ignore[attr-defined]
    answer.lease.hard_deadline = answer.hard_deadline  # type: ignore[attr-defined]
    answer.lease.held_in_aws_until = answer.held_in_aws_until  # type: ignore[attr-defined]
    return LeasedSerializer(answer.lease).data


class DecisionSerializer(serializers.ModelSerializer):
    """What a rule did, and from what it concluded that."""

    class Meta:
        model = Decision
        fields = ["rule", "outcome", "inputs", "operation_id", "correlation_id", "decided_at"]
        read_only_fields = fields


class PlannedStepSerializer(serializers.Serializer):
    """One thing that a rule will do, the earliest time for it, and when its owner is told (null = was told)."""

    action = serializers.CharField()
    at = serializers.DateTimeField()
    in_seconds = serializers.IntegerField()
    rule = serializers.CharField()
    warn_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()


class SignalSerializer(serializers.Serializer):
    """The last sign of use: `connected`, `cpu`, or `state` when the machine came into its state after those."""

    at = serializers.DateTimeField()
    signal = serializers.CharField()


class EvidenceSerializer(serializers.Serializer):
    """What the samples say; without enough that say idle, one after the other up to now, there is no idle stop."""

    is_idle = serializers.BooleanField()
    reason = serializers.CharField()
    idle_samples = serializers.IntegerField()
    needed = serializers.IntegerField()
    newest_at = serializers.DateTimeField(allow_null=True)


class CeilingSerializer(serializers.Serializer):
    """The machine's own figure, the smallest ceiling and whose it is, and what is in force by whom."""

    own = serializers.IntegerField(allow_null=True)
    at_most = serializers.IntegerField(allow_null=True)
    ceiling = serializers.CharField(allow_null=True)
    in_force = serializers.IntegerField(allow_null=True)
    source = serializers.CharField()


class CeilingsSerializer(serializers.Serializer):
    idle_minutes = CeilingSerializer()
    session_hours = CeilingSerializer()
    lifetime_days = CeilingSerializer()
    lease_hours = CeilingSerializer()
    keep_alive_days = CeilingSerializer()


class PauseSerializer(serializers.Serializer):
    """Who has paused the rules, since when, and the reason that was given."""

    by = serializers.ChoiceField(choices=["installation", "organization"])
    since = serializers.DateTimeField()
    reason = serializers.CharField()


class WhySerializer(serializers.Serializer):
    """What lies ahead of a machine, and why."""

    workspace = serializers.UUIDField()
    state = serializers.CharField()
    now = serializers.DateTimeField()
    next = PlannedStepSerializer(allow_null=True)
    steps = PlannedStepSerializer(many=True)
    paused = PauseSerializer(allow_null=True, help_text="While it lasts nothing that is due is done.")
    reasons = serializers.ListField(child=serializers.CharField())
    last_signal = SignalSerializer()
    hard_deadline = serializers.DateTimeField(allow_null=True)
    evidence = EvidenceSerializer(allow_null=True)
    ceilings = CeilingsSerializer()
    lifetime_end = serializers.DateTimeField()
    leased_until = serializers.DateTimeField(allow_null=True)
    keep_alive_until = serializers.DateTimeField(allow_null=True)
    monthly_price = MonthlyPriceSerializer(allow_null=True, help_text="Of keeping it; null where there is no price.")
    stop_warned_at = serializers.DateTimeField(allow_null=True)
    end_warned_at = serializers.DateTimeField(allow_null=True)
    stale_notified_at = serializers.DateTimeField(allow_null=True)
    put_off_until = serializers.DateTimeField(allow_null=True)
    stop_put_off_until = serializers.DateTimeField(allow_null=True)
    decisions = DecisionSerializer(many=True)


def _ceiling(least: int, most: int) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=least, max_value=most, required=False, allow_null=True)


class CeilingsOfPolicySerializer(serializers.Serializer):
    """Ceilings to set; null takes one away."""

    example = {"idle_minutes": 60, "lifetime_days": 180}

    idle_minutes = _ceiling(15, 2880)
    session_hours = _ceiling(1, 8760)
    lifetime_days = _ceiling(1, MOST_LIFETIME_DAYS)
    lease_hours = _ceiling(1, 8760)
    keep_alive_days = _ceiling(1, MOST_KEEP_ALIVE_DAYS)


class PolicyCreateSerializer(CeilingsOfPolicySerializer):
    """The scope: a team, a family of blueprints, or neither for the whole organization."""

    example = {"team": "platform", "idle_minutes": 60, "lifetime_days": 180}

    team = Text(max_length=63, required=False, allow_null=True, default=None)
    blueprint_name = Text(max_length=100, required=False, allow_blank=True, default="")


class LifecyclePolicySerializer(serializers.ModelSerializer):
    """A policy; `applies` is false while its machines are still being reckoned by it."""

    team = serializers.SerializerMethodField()
    applies = serializers.BooleanField(source="is_spread", read_only=True)

    class Meta:
        model = LifecyclePolicy
        fields = ["id", "team", "blueprint_name", *policies.CEILINGS, "effective_at", "applies", "created_at"]
        read_only_fields = fields

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_team(self, policy: LifecyclePolicy) -> str | None:
        return policy.team.slug if policy.team else None


class UnknownTeam(Refused):
    code = "unknown_team"
    title = "There is no such team"


class LifecyclePolicyFilterSet(ForgeFilterSet):
    team = filters.CharFilter(field_name="team__slug", label="Slug of the team.")

    class Meta:
        model = LifecyclePolicy
        fields = {"blueprint_name": ["exact"]}


class LifecyclePolicyViewSet(ReadViewSet):
    """The ceilings that bind the machines of the organization; admins set them."""

    queryset = LifecyclePolicy.objects.select_related("team")
    serializer_class = LifecyclePolicySerializer
    filterset_class = LifecyclePolicyFilterSet
    ordering_fields = ("created_at",)
    ordering = "-created_at"
    audit_resource = "LifecyclePolicy"
    audit_action = {
        "create": actions.LIFECYCLE_POLICY_CREATE,
        "partial_update": actions.LIFECYCLE_POLICY_UPDATE,
    }
    has_etag = True

    @extend_schema(request=PolicyCreateSerializer, responses={201: LifecyclePolicySerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Set the ceilings of a scope that has none."""
        organization = organization_of(request.user)
        wanted = self.validated(PolicyCreateSerializer)
        slug = wanted.pop("team")
        team = Team.objects.filter(organization=organization, slug=slug).first() if slug else None
        if slug and team is None:
            raise UnknownTeam(f"Your organization has no team {slug!r}.")
        made = policies.create_policy(
            actor=self.actor,
            organization=organization,
            team=team,
            blueprint_name=wanted.pop("blueprint_name"),
            ceilings=wanted,
            now=timezone.now(),
        )
        return self.created(made, self.body_of(made), address=f"/api/v1/lifecycle-policies/{made.id}/")

    @extend_schema(request=CeilingsOfPolicySerializer, responses={200: LifecyclePolicySerializer})
    @conditional
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change ceilings; those that are left out stay as they are."""
        policy = self.get_object()
        ceilings = self.validated(CeilingsOfPolicySerializer)
        changed = policies.change_policy(actor=self.actor, policy_id=policy.id, ceilings=ceilings, now=timezone.now())
        return self.shown(changed, self.body_of(changed))
