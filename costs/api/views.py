"""`/api/v1/costs/records`, `revisions`, `prices` and `/api/v1/bundles/`: what machines cost by the hour, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from costs import actions, permissions, services
from costs.api.filters import CostRecordFilterSet, CostRevisionFilterSet, PriceFilterSet
from costs.api.parameters import hours_of, invalid
from costs.api.serializers import (
    BundlesSerializer,
    ClosePriceSerializer,
    ConfirmPriceSerializer,
    CostRecordSerializer,
    CostRevisionSerializer,
    NewPriceSerializer,
    PriceSerializer,
    price_terms,
)
from costs.bundles import bundles
from costs.models import CostRecord, CostRevision, Price
from forge.accounts.models import Team
from forge.accounts.services import organization_of
from forge.api.filters import refuse_unknown
from forge.api.idempotency import idempotent
from forge.api.views import ForgeViewSet, ReadViewSet
from workspaces.models import ProviderAccount
from workspaces.regions.choosing import RegionRequired


@extend_schema(
    parameters=[
        OpenApiParameter("period_start__gte", str, description="First instant; at most 31 days before the last."),
        OpenApiParameter("period_start__lt", str, description="Instant after the last; without it now."),
    ]
)
class CostRecordViewSet(ListModelMixin, ForgeViewSet):
    """What each machine cost in each UTC hour, at most 31 days at a time."""

    queryset = CostRecord.objects.select_related("user", "team", "project")
    may_lag = True
    serializer_class = CostRecordSerializer
    filterset_class = CostRecordFilterSet
    ordering_fields = ("period_start",)
    ordering = "-period_start"
    extra_parameters = ("period_start__gte", "period_start__lt")
    audit_resource = "CostRecord"

    def get_queryset(self) -> QuerySet:
        """The records of the period only: the others are in months that need not be looked at."""
        records = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return records
        first, last = hours_of(self.request, now=timezone.now())
        return records.filter(period_start__gte=first, period_start__lt=last)


class CostRevisionViewSet(ListModelMixin, ForgeViewSet):
    """What records were before a corrected price re-rated them, the latest first."""

    queryset = CostRevision.objects.all()
    may_lag = True
    serializer_class = CostRevisionSerializer
    filterset_class = CostRevisionFilterSet
    ordering_fields = ("recorded_at",)
    ordering = "-recorded_at"
    audit_resource = "CostRevision"


class PriceViewSet(ReadViewSet):
    """The prices for all and those of the caller's organization."""

    queryset = Price.objects.all()
    serializer_class = PriceSerializer
    filterset_class = PriceFilterSet
    ordering_fields = ("valid_from", "created_at", "monthly_amount", "hourly_amount")
    ordering = "-valid_from"
    search_fields = ("source",)
    audit_action = {
        "create": actions.PRICE_CREATE,
        "close": actions.PRICE_CLOSE,
        "confirm": actions.PRICE_CONFIRM,
    }
    audit_resource = "Price"

    @extend_schema(request=NewPriceSerializer, responses={201: PriceSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Set a price of the organization, which wins there over the one for all.

        One that begins in the past needs a reason. It takes the place of the organization's prices that held then, and
        what is booked since is re-rated by an operation; `/costs/revisions/?new_price=` shows what changed.
        """
        organization = organization_of(request.user)
        permissions.require_price(self.actor, organization.id)
        wanted = self.validated(NewPriceSerializer)
        reason = wanted.pop("reason")
        terms = price_terms(wanted, currency=organization.currency)
        price = services.set_price(
            actor=self.actor, organization=organization, terms=terms, now=timezone.now(), reason=reason
        )
        price.refresh_from_db()
        return self.created(price, self.body_of(price), address=f"/api/v1/costs/prices/{price.pk}/")

    @extend_schema(request=ClosePriceSerializer, responses={200: PriceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def close(self, request: Request, pk: str | None = None) -> Response:
        """Give a price its end; what is booked stays as it is."""
        wanted = self.validated(ClosePriceSerializer)
        price = services.close_price(
            actor=self.actor, price_id=self.get_object().pk, valid_to=wanted["valid_to"], now=timezone.now()
        )
        return self.shown(price, self.body_of(price))

    @extend_schema(request=ConfirmPriceSerializer, responses={200: PriceSerializer})
    @action(detail=True, methods=["post"])
    @idempotent
    def confirm(self, request: Request, pk: str | None = None) -> Response:
        """Note that the price was read again and stood; hours estimated because it was stale become metered."""
        wanted = self.validated(ConfirmPriceSerializer)
        price = services.confirm_price(
            actor=self.actor,
            price_id=self.get_object().pk,
            as_of=wanted["as_of"],
            source=wanted["source"],
            now=timezone.now(),
        )
        return self.shown(price, self.body_of(price))


class BundleViewSet(ForgeViewSet):
    """The bundle types with size, price, and whether the caller may launch them."""

    queryset = Price.objects.none()
    serializer_class = BundlesSerializer
    pagination_class = None
    filter_backends = ()
    extra_parameters = ("region", "team")
    audit_resource = "Price"

    @extend_schema(
        parameters=[
            OpenApiParameter("region", str, description="Without it the only region of the organization."),
            OpenApiParameter("team", str, description="Slug; judge by the caller's role there, not by the best one."),
        ],
        responses={200: BundlesSerializer},
    )
    def list(self, request: Request) -> Response:
        """All of them, smallest first."""
        refuse_unknown(request, self.extra_parameters)
        shown = bundles(
            organization=organization_of(request.user),
            region=self._region(request),
            roles=self._roles(request),
            now=timezone.now(),
        )
        return Response(BundlesSerializer({"next": None, "previous": None, "results": shown}).data)

    def _region(self, request: Request) -> str | None:
        accounts = ProviderAccount.objects.visible_to(request.user).filter(enabled=True)
        regions = sorted(accounts.values_list("region", flat=True))
        wanted = request.query_params.get("region")
        if wanted is not None:
            if wanted not in regions:
                raise invalid("region", f"{wanted[:32]!r} is not open to your organization.", known=regions)
            return wanted
        if len(regions) > 1:
            raise RegionRequired(f"Give `region` as one of: {', '.join(regions)}.", extra={"regions": regions})
        return next(iter(regions), None)

    def _roles(self, request: Request) -> Iterable[str | None]:
        user: Any = request.user
        slug = request.query_params.get("team")
        if slug is None:
            return [role for role, _ in user.roles]
        team = Team.objects.visible_to(user).filter(slug=slug).first()
        if team is None:
            raise invalid("team", f"You see no team {slug[:63]!r}.")
        return [user.role_in(team.id)]
