"""Prices, costs and quotes as the API shows and takes them; money as decimal strings beside the currency."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from blueprints.models import BundleType, OperatingSystem
from costs.models import Basis, CostRecord, CostRevision, Price
from costs.quotes import Quote
from costs.services import PriceTerms
from forge.api.fields import Text
from forge.api.serializers import RowSerializer
from workspaces.api.serializers import LaunchSerializer
from workspaces.models import WorkSpace


class Money(serializers.DecimalField):
    """An amount as it is kept, with 6 places."""

    def __init__(self, **options: object) -> None:
        super().__init__(max_digits=18, decimal_places=6, **options)


class PriceSerializer(RowSerializer):
    """One price; `organization` null holds for all organizations without one of their own."""

    organization = serializers.UUIDField(source="organization_id", read_only=True, allow_null=True)

    class Meta:
        model = Price
        fields = [
            "id",
            "organization",
            "service_type",
            "region",
            "bundle_type",
            "operating_system",
            "running_mode",
            "monthly_amount",
            "hourly_amount",
            "storage_gb_month_amount",
            "included_storage_gb",
            "transfer_gb_amount",
            "currency",
            "source",
            "as_of",
            "valid_from",
            "valid_to",
            "created_at",
        ]
        read_only_fields = fields


class NewPriceSerializer(serializers.Serializer):
    """The body that sets a price of the caller's organization."""

    example = {
        "region": "eu-west-1",
        "bundle_type": "STANDARD",
        "operating_system": "LINUX",
        "running_mode": "AUTO_STOP",
        "monthly_amount": "9.75",
        "hourly_amount": "0.30",
        "source": "AWS price list",
        "as_of": "2027-01-08",
        "valid_from": "2027-02-01T00:00:00Z",
    }

    service_type = serializers.ChoiceField(WorkSpace.ServiceType.choices, default=WorkSpace.ServiceType.PERSONAL)
    region = Text(max_length=32)
    bundle_type = serializers.ChoiceField(BundleType.choices)
    operating_system = serializers.ChoiceField(OperatingSystem.choices)
    running_mode = serializers.ChoiceField(WorkSpace.RunningMode.choices)
    monthly_amount = Money(min_value=Decimal(0), help_text="Fixed fee of a UTC month.")
    hourly_amount = Money(min_value=Decimal(0), default=Decimal(0), help_text="Per started hour; 0 for ALWAYS_ON.")
    storage_gb_month_amount = Money(
        min_value=Decimal(0),
        allow_null=True,
        default=None,
        help_text="Per GB and month beyond what is included; null = as the price before it, else not known.",
    )
    included_storage_gb = serializers.IntegerField(
        min_value=0, max_value=65536, allow_null=True, default=None, help_text="Null = what the bundle comes with."
    )
    transfer_gb_amount = Money(min_value=Decimal(0), default=Decimal(0))
    currency = serializers.RegexField(r"^[A-Z]{3}\Z", required=False, help_text="ISO 4217; the organization's.")
    source = Text(max_length=300, help_text="Where the figures were read.")
    as_of = serializers.DateField(help_text="When they were read there.")
    valid_from = serializers.DateTimeField(help_text="A whole UTC hour.")
    valid_to = serializers.DateTimeField(allow_null=True, default=None, help_text="A whole UTC hour; null = open.")
    reason = Text(
        max_length=1000,
        allow_blank=True,
        default="",
        help_text="Needed when it begins in the past: what is booked since is re-rated.",
    )


class ClosePriceSerializer(serializers.Serializer):
    """When the price ends; null is the end of the running hour."""

    example = {"valid_to": "2027-03-01T00:00:00Z"}

    valid_to = serializers.DateTimeField(required=False, allow_null=True, default=None)


class ConfirmPriceSerializer(serializers.Serializer):
    """When the price was read again and stood, and where if that is another source."""

    example = {"as_of": "2027-01-08", "source": "AWS price list"}

    as_of = serializers.DateField()
    source = Text(max_length=300, required=False, allow_null=True, default=None)


class CostRevisionSerializer(RowSerializer):
    """What a cost record was and became when a corrected price re-rated its hour."""

    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    old_price = serializers.UUIDField(source="old_price_id", read_only=True)
    new_price = serializers.UUIDField(source="new_price_id", read_only=True)
    actor = serializers.UUIDField(source="actor_id", read_only=True, allow_null=True)
    operation = serializers.UUIDField(source="operation_id", read_only=True)

    class Meta:
        model = CostRevision
        fields = [
            "id",
            "workspace",
            "period_start",
            "old_price",
            "new_price",
            "old_compute_cost",
            "new_compute_cost",
            "old_storage_cost",
            "new_storage_cost",
            "old_total_cost",
            "new_total_cost",
            "currency",
            "old_basis",
            "new_basis",
            "reason",
            "actor",
            "operation",
            "recorded_at",
        ]
        read_only_fields = fields


class CostRecordSerializer(RowSerializer):
    """What one machine cost in one UTC hour, and to whom it belonged then."""

    workspace = serializers.UUIDField(source="workspace_id", read_only=True)
    user = serializers.EmailField(source="user.email", read_only=True)
    team = serializers.CharField(source="team.slug", read_only=True)
    project = serializers.CharField(source="project.slug", read_only=True, allow_null=True, default=None)
    blueprint = serializers.UUIDField(source="blueprint_id", read_only=True, allow_null=True)
    price = serializers.UUIDField(source="price_id", read_only=True)

    class Meta:
        model = CostRecord
        fields = [
            "id",
            "workspace",
            "user",
            "team",
            "project",
            "cost_center",
            "blueprint",
            "bundle_type",
            "region",
            "running_mode",
            "tags",
            "period_start",
            "period_end",
            "recorded_at",
            "running_seconds",
            "billed_hours",
            "storage_gb",
            "data_transfer_gb",
            "compute_cost",
            "storage_cost",
            "data_transfer_cost",
            "total_cost",
            "currency",
            "basis",
            "price",
        ]
        read_only_fields = fields


class QuoteRequestSerializer(LaunchSerializer):
    """The body of a launch, and for how many running hours of this month to reckon."""

    example = {
        "blueprint": "01931e5c-7d3a-7c4b-9c11-5a6b7c8d9e0f",
        "bundle_type": "STANDARD",
        "operating_system": "LINUX",
        "running_mode": "AUTO_STOP",
        "hours": 80,
    }

    hours = serializers.IntegerField(min_value=0, max_value=744, default=40)


class ReachSerializer(serializers.Serializer):
    """A region and its round trip from the place of the machine's owner."""

    region = serializers.CharField()
    latency_ms = serializers.IntegerField(allow_null=True)
    basis = serializers.CharField(allow_null=True, help_text="MEASURED or ESTIMATED; null without a figure.")


class RegionChoiceSerializer(ReachSerializer):
    """The region taken, why, and the others that were possible, nearest first."""

    why = serializers.CharField()
    alternatives = ReachSerializer(many=True)


class QuoteSerializer(serializers.Serializer):
    """What a machine would cost, and with what price that was reckoned."""

    hourly = Money()
    monthly = Money()
    hours = serializers.IntegerField()
    estimated_cost = Money(help_text="Fees to the end of the UTC month, and `hours` hours of running.")
    reservation = Money(help_text="What a budget of this month holds for it at launch.")
    currency = serializers.CharField()
    basis = serializers.ChoiceField(Basis.choices)
    price = serializers.UUIDField(source="price_id")
    source = serializers.CharField()
    as_of = serializers.DateField()


class QuotedLaunchSerializer(QuoteSerializer):
    """The same, and why the machine would stand where it was priced; `region_choice` in the context."""

    region_choice = serializers.SerializerMethodField()

    @extend_schema_field(RegionChoiceSerializer)
    def get_region_choice(self, quote: Quote) -> dict[str, Any]:
        return RegionChoiceSerializer(self.context["region_choice"].answer).data


class BundlePriceSerializer(serializers.Serializer):
    """The price of a bundle for one operating system and running mode."""

    operating_system = serializers.ChoiceField(OperatingSystem.choices)
    running_mode = serializers.ChoiceField(WorkSpace.RunningMode.choices)
    monthly = Money()
    hourly = Money()
    source = serializers.CharField()
    as_of = serializers.DateField()


class PricedBundleSerializer(serializers.Serializer):
    """One bundle type: its size, its prices in the region, and whether the caller may launch it."""

    bundle_type = serializers.ChoiceField(BundleType.choices)
    vcpus = serializers.IntegerField()
    memory_gib = serializers.IntegerField()
    gpu = serializers.CharField(allow_null=True)
    root_volume_gb = serializers.IntegerField()
    user_volume_gb = serializers.IntegerField()
    region = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    prices = BundlePriceSerializer(many=True)
    may_launch = serializers.BooleanField()
    why_not = serializers.CharField(allow_null=True)


@extend_schema_serializer(many=False)
class BundlesSerializer(serializers.Serializer):
    """All bundle types; there is always one page."""

    next = serializers.URLField(allow_null=True, default=None)
    previous = serializers.URLField(allow_null=True, default=None)
    results = PricedBundleSerializer(many=True)


def price_terms(attrs: dict[str, Any], *, currency: str) -> PriceTerms:
    """A validated NewPriceSerializer body as the service takes it."""
    return PriceTerms(**{"currency": currency, **attrs})
