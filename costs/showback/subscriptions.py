"""Who gets which report by mail on the 1st."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from audit.services import record
from costs import actions
from costs.permissions import MayNotExportCosts
from costs.showback.models import ReportBy, ReportKind, ReportSubscription
from costs.showback.permissions import require_kind, require_scope
from forge.accounts.models import Membership, Organization, Team, User
from forge.api.errors import Conflict
from forge.db.integrity import refusing


class AlreadySubscribed(Conflict):
    code = "already_subscribed"
    title = "You get this report already"
    suggested_action = "Look at your subscriptions."


def subscribe(
    *, actor: Actor, organization: Organization, team: Team | None, kind: ReportKind, by: ReportBy, now: datetime
) -> ReportSubscription:
    """Have the acting person sent this report from the 1st of next month on.

    Raises MayNotExportCosts, NotChargeable, AlreadySubscribed.
    """
    require_scope(actor, organization.id, team)
    require_kind(kind, by)
    if not isinstance(actor.user, User):
        raise MayNotExportCosts("A report is sent to the person who subscribes to it.")
    with refusing({"costs_reportsubscription_once_per_person": AlreadySubscribed()}):
        made = ReportSubscription.objects.create(
            organization=organization, user=actor.user, team=team, kind=kind, by=by, created_at=now
        )
        _record(actor, made, actions.REPORT_SUBSCRIBE, "Subscribed to", now, before=None, after=_facts(made))
    return made


def unsubscribe(*, actor: Actor, subscription: ReportSubscription, now: datetime) -> None:
    """End it; a mail that is owed already is sent all the same. Raises MayNotExportCosts."""
    if not may_end(actor.user, subscription):
        raise MayNotExportCosts("People end their own subscriptions, admins those of their organization.")
    with transaction.atomic():
        locked = ReportSubscription.objects.select_for_update().get(pk=subscription.pk)
        _record(actor, locked, actions.REPORT_UNSUBSCRIBE, "Ended", now, before=_facts(locked), after=None)
        locked.delete()


def may_end(user: object, subscription: ReportSubscription) -> bool:
    """True for whose it is, and for admins of the organization."""
    if not isinstance(user, User):
        return False
    is_admin = user.organization_id == subscription.organization_id and user.has_role(Membership.Role.ADMIN)
    return user.id == subscription.user_id or is_admin


def _facts(subscription: ReportSubscription) -> dict[str, object]:
    return {
        "user_id": subscription.user_id,
        "team_id": subscription.team_id,
        "kind": subscription.kind,
        "by": subscription.by,
    }


def _record(
    actor: Actor, subscription: ReportSubscription, action: str, verb: str, now: datetime, **changes: object
) -> None:
    record(
        actor=actor,
        action=action,
        resource_type="ReportSubscription",
        resource_id=str(subscription.id),
        description=f"{verb} report subscription {subscription.id}",
        organization_id=subscription.organization_id,
        changes=changes,
        occurred_at=now,
    )
