"""Webhooks in the console: made by a form, changed by buttons, with what was delivered and each try of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from forge.accounts.admin import OwnOrganizationAdmin, ServiceForm
from forge.accounts.models import Team, User
from forge.adminkit.admin import ForgeInline, ForgeModelAdmin
from forge.adminkit.buttons import Button, ShownOnce
from forge.outbox import actions, letters
from forge.outbox.models import Webhook, WebhookAttempt, WebhookDelivery
from forge.outbox.webhooks import permissions, services
from forge.outbox.webhooks.services import KEEP_FORMER, MOST_KEEP

HOUR = timedelta(hours=1)
SEE = ("team_lead", "finance", "auditor", "admin")
STATES = {
    Webhook.State.ON: "success",
    Webhook.State.OFF: "default",
    Webhook.State.FAILED: "danger",
    Webhook.State.REMOVED: "default",
}


class WebhookForm(ServiceForm):
    """A new webhook. Its secret is shown by the button *New secret*, and to nobody before."""

    kinds = forms.MultipleChoiceField(
        required=False,
        choices=lambda: [(kind, kind) for kind in letters.kinds()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None = every kind. Afterwards press “New secret” to be shown what signs the deliveries.",
    )
    team = forms.ModelChoiceField(
        Team.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="One that you lead: the webhook hears of this team alone.",
    )
    user: Any = None
    """Who fills it in; set on the subclass that the admin makes for each request."""

    class Meta:
        model = Webhook
        fields = ("name", "url")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.user is not None:
            self.fields["team"].queryset = Team.objects.filter(id__in=self.user.led_team_ids())


class ChangeForm(forms.Form):
    """What a webhook is called, where it goes and what it hears."""

    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget)
    url = forms.CharField(max_length=2000, widget=UnfoldAdminTextInputWidget)
    kinds = forms.MultipleChoiceField(
        required=False,
        choices=lambda: [(kind, kind) for kind in letters.kinds()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None = every kind.",
    )


class RotateForm(forms.Form):
    keep_hours = forms.IntegerField(
        min_value=0,
        max_value=MOST_KEEP // HOUR,
        initial=KEEP_FORMER // HOUR,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="For so long deliveries are signed with the former secret too.",
    )


def _says(*sentences: str) -> Any:
    return lambda *_: sentences


def _switch(is_on: bool) -> Any:
    def run(request: HttpRequest, webhook: Webhook) -> str:
        services.change(
            actor=request.actor,  # type: ignore[attr-defined]
            webhook_id=webhook.pk,
            wanted={"is_on": is_on},
            now=timezone.now(),
        )
        return f"{webhook} is switched {'on' if is_on else 'off'}."

    return run


def _change(request: HttpRequest, webhook: Webhook, **wanted: Any) -> str:
    services.change(
        actor=request.actor,  # type: ignore[attr-defined]
        webhook_id=webhook.pk,
        wanted=wanted,
        now=timezone.now(),
    )
    return f"{wanted['name']} is changed."


def _rotate(request: HttpRequest, webhook: Webhook, *, keep_hours: int) -> ShownOnce:
    _, secret = services.rotate(
        actor=request.actor,  # type: ignore[attr-defined]
        webhook_id=webhook.pk,
        keep_former=keep_hours * HOUR,
        now=timezone.now(),
    )
    return ShownOnce(f"The new secret of {webhook}; it is shown this once.", secret)


def _ping(request: HttpRequest, webhook: Webhook) -> str:
    services.ping(actor=request.actor, webhook_id=webhook.pk, now=timezone.now())  # type: ignore[attr-defined]
    return "A ping is sent with the next run of send_webhooks; its delivery says what came of it."


def _remove(request: HttpRequest, webhook: Webhook) -> str:
    services.remove(actor=request.actor, webhook_id=webhook.pk, now=timezone.now())  # type: ignore[attr-defined]
    return f"{webhook} is removed."


def _redeliver(request: HttpRequest, delivery: WebhookDelivery) -> str:
    services.redeliver(actor=request.actor, delivery_id=delivery.pk, now=timezone.now())  # type: ignore[attr-defined]
    return "It is sent with the next run of send_webhooks, under the same webhook-id."


class WebhookAdmin(OwnOrganizationAdmin):
    """Where what happens is delivered; the secrets are never shown here."""

    form = WebhookForm
    audit_add = actions.WEBHOOK_CREATE
    view_roles = SEE
    add_roles = ("team_lead", "finance", "admin")
    list_display = ("name", "url", "shown_kinds", "shown_team", "shown_state", "failures", "failing_since")
    list_filter = ("state",)
    search_fields = ("name", "id__exact")
    search_help_text = "A name, or a whole id."
    ordering = ("name", "id")
    facts = (
        "name", "url", "shown_kinds", "shown_team", "shown_owner", "shown_state", "state_since", "failures",
        "failing_since", "rests_until", "former_secret_until", "created_at", "updated_at",
    )  # fmt: skip
    buttons = (
        Button(
            "ping",
            "Ping",
            actions.WEBHOOK_PING,
            icon="network_ping",
            run=_ping,
            legal=permissions.may_manage,
        ),
        Button(
            "rotate",
            "New secret",
            actions.WEBHOOK_ROTATE,
            icon="key",
            form=RotateForm,
            run=_rotate,
            legal=permissions.may_manage,
            explain=_says("It is shown once. A secret before the present one counts no more."),
        ),
        Button(
            "change",
            "Change",
            actions.WEBHOOK_UPDATE,
            icon="edit",
            form=ChangeForm,
            initial=lambda webhook: {name: getattr(webhook, name) for name in ("name", "url", "kinds")},
            run=_change,
            legal=permissions.may_manage,
        ),
        Button(
            "on",
            "Switch on",
            actions.WEBHOOK_UPDATE,
            icon="toggle_on",
            run=_switch(True),
            legal=lambda user, webhook: not webhook.is_on and permissions.may_manage(user, webhook),
        ),
        Button(
            "off",
            "Switch off",
            actions.WEBHOOK_UPDATE,
            icon="toggle_off",
            run=_switch(False),
            legal=lambda user, webhook: webhook.is_on and permissions.may_manage(user, webhook),
        ),
        Button(
            "remove",
            "Remove",
            actions.WEBHOOK_REMOVE,
            icon="delete",
            run=_remove,
            legal=permissions.may_manage,
            typed=str,
            variant=ActionVariant.DANGER,
            explain=_says("Its address and its secrets are forgotten; nothing is sent any more."),
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        names = {
            "team_name": Team.objects.filter(id=OuterRef("team_id")).values("name"),
            "owner_email": User.objects.filter(id=OuterRef("owner_id")).values("email"),
        }
        return super().get_queryset(request).annotate(**{name: Subquery(rows) for name, rows in names.items()})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name", "url", "kinds", "team") if obj is None else self.facts

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else self.facts

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.user = request.user
        return form

    def save_by_service(self, request: HttpRequest, obj: Webhook, form: Any, *, change: bool) -> Webhook:
        wanted = form.cleaned_data
        webhook, _ = services.create(
            actor=request.actor,  # type: ignore[attr-defined]
            organization_id=request.user.organization_id,
            name=wanted["name"],
            url=wanted["url"],
            kinds=wanted["kinds"],
            team_id=wanted["team"].pk if wanted["team"] else None,
            now=timezone.now(),
        )
        return webhook

    @display(description="kinds")
    def shown_kinds(self, webhook: Webhook) -> str:
        return ", ".join(webhook.kinds) or "every kind"

    @display(description="team")
    def shown_team(self, webhook: Webhook) -> str:
        return webhook.team_name or "-"  # type: ignore[attr-defined]  # annotated above

    @display(description="made by")
    def shown_owner(self, webhook: Webhook) -> str:
        return webhook.owner_email or "-"  # type: ignore[attr-defined]  # annotated above

    @display(description="state", ordering="state", label=STATES)
    def shown_state(self, webhook: Webhook) -> tuple[str, str]:
        return webhook.state, webhook.get_state_display()


class AttemptInline(ForgeInline):
    model = WebhookAttempt
    view_roles = SEE
    verbose_name_plural = "tries"
    fields = ("number", "began_at", "milliseconds", "status_code", "error", "excerpt")
    ordering = ("number",)
    max_num = 100
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        seen = WebhookDelivery.objects.visible_to(request.user)
        return super().get_queryset(request).filter(delivery__in=seen)


class WebhookDeliveryAdmin(ForgeModelAdmin):
    """What was delivered in the last thirty days, when it was tried and what the receiver said."""

    view_roles = SEE
    inlines = (AttemptInline,)
    list_display = ("kind", "webhook", "shown_state", "created_at", "due_at", "delivered_at", "attempts", "last_error")
    list_filter = ("state", "webhook")
    list_select_related = ("webhook",)
    search_fields = ("id__exact", "event_id__exact")
    search_help_text = "The whole id of a delivery, or its webhook-id."
    ordering = ("-id",)
    export_fields = (
        "id", "kind", "webhook__name", "event_id", "state", "created_at", "due_at", "delivered_at", "attempts",
        "last_error",
    )  # fmt: skip
    fields = (
        "kind", "webhook", "event_id", "state", "created_at", "due_at", "tried_until", "delivered_at", "attempts",
        "last_error", "body",
    )  # fmt: skip
    buttons = (
        Button(
            "redeliver",
            "Send again",
            actions.WEBHOOK_REDELIVER,
            icon="replay",
            run=_redeliver,
            legal=lambda user, delivery: (
                delivery.webhook.state != Webhook.State.REMOVED and permissions.may_manage(user, delivery.webhook)
            ),
            explain=_says("It carries the same webhook-id, by which a receiver knows a twin."),
        ),
    )

    @display(
        description="state",
        ordering="state",
        label={
            WebhookDelivery.State.DUE: "info",
            WebhookDelivery.State.DELIVERED: "success",
            WebhookDelivery.State.GIVEN_UP: "danger",
            WebhookDelivery.State.WITHDRAWN: "default",
        },
    )
    def shown_state(self, delivery: WebhookDelivery) -> tuple[str, str]:
        return delivery.state, delivery.get_state_display()
