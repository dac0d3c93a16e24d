"""`/api/v1/costs/tag-keys/`: the tags by which costs are summed up; and those sums for `summary` and `timeseries`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from costs import actions, permissions
from costs.api.parameters import TAG_PREFIX, invalid
from costs.models import TagCost, TagKey
from costs.tags import services
from forge.accounts.services import organization_of
from forge.api.fields import Text
from forge.api.filters import ForgeFilterSet, filtered
from forge.api.idempotency import idempotent
from forge.api.serializers import RowSerializer
from forge.api.views import ReadViewSet

_OURS = ("start", "end", "group_by", "interval")


class TagKeySerializer(RowSerializer):
    """A tag by which costs are summed up, and the first day that is."""

    class Meta:
        model = TagKey
        fields = ["id", "key", "state", "since", "created_at"]
        read_only_fields = fields


class NewTagKeySerializer(serializers.Serializer):
    """The key of the tag, as machines have it."""

    example = {"key": "cost-center"}

    key = Text(max_length=127)


class TagKeyFilterSet(ForgeFilterSet):
    class Meta:
        model = TagKey
        fields = {"key": ["exact"], "state": ["exact"]}


class TagCostFilterSet(ForgeFilterSet):
    class Meta:
        model = TagCost
        fields = {"basis": ["exact"]}


class TagKeyViewSet(ReadViewSet):
    """The tags by which the organization sums its costs."""

    queryset = TagKey.objects.all()
    serializer_class = TagKeySerializer
    filterset_class = TagKeyFilterSet
    ordering_fields = ("created_at",)
    ordering = "created_at"
    audit_resource = "TagKey"
    audit_action = {"create": actions.TAG_KEY_CHOOSE, "destroy": actions.TAG_KEY_DROP}

    @extend_schema(request=NewTagKeySerializer, responses={201: TagKeySerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Sum costs by this tag: what is booked from now on at once, the past by a job, the newest days first."""
        wanted = self.validated(NewTagKeySerializer)
        chosen = services.choose_tag_key(
            actor=self.actor, organization=organization_of(request.user), key=wanted["key"], now=timezone.now()
        )
        return self.created(chosen, self.body_of(chosen), address=f"/api/v1/costs/tag-keys/{chosen.pk}/")

    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Sum costs by this tag no more; a job takes its sums away, the records keep their tags."""
        services.drop_tag_key(actor=self.actor, tag_key=self.get_object(), now=timezone.now())
        return Response(status=204)


def costs_by_tag(request: Request, group_by: list[str]) -> tuple[QuerySet[TagCost], TagKey] | None:
    """The sums of `?group_by=tag:KEY` that the address asks for, and the key; None where it asks for no tag.

    Raises MayNotSeeAllCosts, and the 400 of a tag by which nothing is summed or of a filter that the sums cannot take.
    """
    if not group_by or not group_by[0].startswith(TAG_PREFIX):
        return None
    user: Any = request.user
    permissions.require_all_costs(user)
    keys = {
        key.key: key
        for key in TagKey.objects.filter(organization=organization_of(user)).exclude(state=TagKey.State.DROPPING)
    }
    asked = group_by[0].removeprefix(TAG_PREFIX)
    if asked not in keys:
        known = [TAG_PREFIX + key for key in sorted(keys)]
        raise invalid("group_by", f"Costs are not summed by the tag {asked[:127]!r}.", known=known)
    given = {name: value for name, value in request.query_params.items() if name not in _OURS}
    if other := [name for name in given if name != "basis"]:
        raise invalid(other[0], "Sums by tag are filtered by basis alone.")
    costs = TagCost.objects.filter(organization_id=user.organization_id, key=asked)
    return filtered(costs, TagCostFilterSet, given), keys[asked]
