"""Bulk operations in the console: the list of machines acts on exactly what it shows, after a preview."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.enums import ActionVariant

from forge.accounts.models import Membership, User
from forge.adminkit.buttons import TYPED, TypedField
from forge.adminkit.problems import sentence_of
from forge.api.errors import Problem
from forge.operations.links import with_link
from workspaces import actions, services
from workspaces.services.many import MOST, VERBS

ICONS = {"start": "play_circle", "stop": "stop_circle", "reboot": "restart_alt", "terminate": "delete_forever"}
SHOWN_REFUSALS = 20
_VARIANTS = {"terminate": ActionVariant.DANGER}


class ChosenForm(forms.Form):
    """The machines that the page told of: what is confirmed is what was seen, whatever the list would show now."""

    ids = forms.CharField(widget=forms.HiddenInput)

    def clean_ids(self) -> list[uuid.UUID]:
        try:
            ids = [uuid.UUID(word) for word in self.cleaned_data["ids"].split(",")]
        except ValueError:
            raise forms.ValidationError("These are no ids of machines.") from None
        if len(ids) > MOST:
            raise forms.ValidationError(f"{len(ids)} machines; at most {MOST} at once.")
        return ids


class ActsOnWhatItShows:
    """Mixin of the list of machines: a link per verb for those who control machines, and its page."""

    list_before_template = "workspaces/bulk_links.html"
    admin_site: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.bulk_view)
        view.audit_action = actions.WORKSPACE_BULK
        view.audit_resource = "Operation"
        return [path("bulk/<slug:verb>/", view, name="workspaces_workspace_bulk"), *super().get_urls()]  # type: ignore[misc]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, with links that act on what it shows."""
        context = (extra_context or {}) | {"bulk_links": self._bulk_links(request)}
        return super().changelist_view(request, context)  # type: ignore[misc]

    def bulk_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """GET shows what would happen to the machines of the list, POST does it; a refusal becomes a message."""
        if not _may_act(request.user):
            raise PermissionDenied
        if verb not in VERBS:
            raise Http404
        if request.method == "POST":
            form = _form(verb, data=request.POST)
            if form.is_valid():
                return self._act(request, verb, form.cleaned_data["ids"])
            return self._page(request, verb, form, [])
        try:
            queryset = self.get_changelist_instance(request).queryset  # type: ignore[attr-defined]
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{self._list()}?{ERROR_FLAG}=1")
        ids = list(queryset.values_list("pk", flat=True)[: MOST + 1])
        if not 0 < len(ids) <= MOST:
            messages.error(request, f"The list shows {'no' if not ids else f'more than {MOST}'} machines: filter it.")
            return HttpResponseRedirect(f"{self._list()}?{request.GET.urlencode()}")
        answer = services.bulk(
            actor=request.actor,  # type: ignore[attr-defined]
            verb=verb,
            workspace_ids=ids,
            now=timezone.now(),
            dry_run=True,
        )
        return self._page(request, verb, _form(verb, ids=ids), _sentences(verb, answer))

    def _act(self, request: HttpRequest, verb: str, ids: list[uuid.UUID]) -> HttpResponse:
        response = HttpResponseRedirect(self._list())
        try:
            answer = services.bulk(
                actor=request.actor,  # type: ignore[attr-defined]
                verb=verb,
                workspace_ids=ids,
                now=timezone.now(),
            )
        except Problem as problem:
            messages.error(request, sentence_of(problem))
            response.problem = problem  # type: ignore[attr-defined]
            return response
        counts = answer.counts
        words = f"{verb.capitalize()}: {counts['accepted']} machines, {counts['refused']} refused."
        messages.success(request, with_link(words, answer.operation))
        return response

    def _page(self, request: HttpRequest, verb: str, form: forms.Form, sentences: list[str]) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,  # type: ignore[attr-defined]
            "title": f"{verb.capitalize()} all that the list shows",
            "button": {"label": verb.capitalize(), "variant": _VARIANTS.get(verb, ActionVariant.PRIMARY)},
            "form": form,
            "sentences": sentences,
            "back_url": self._list(),
        }
        return TemplateResponse(request, "adminkit/confirm_button.html", context)

    def _list(self) -> str:
        return reverse(f"{self.admin_site.name}:workspaces_workspace_changelist")

    def _bulk_links(self, request: HttpRequest) -> list[dict[str, str]]:
        if not _may_act(request.user):
            return []
        query = request.GET.copy()
        for name in (PAGE_VAR, ORDER_VAR, ERROR_FLAG):
            query.pop(name, None)
        view = f"{self.admin_site.name}:workspaces_workspace_bulk"
        return [
            {
                "title": f"{verb.capitalize()} all that are shown",
                "icon": ICONS[verb],
                "address": f"{reverse(view, args=(verb,))}?{query.urlencode()}",
            }
            for verb in VERBS
        ]


def _may_act(user: Any) -> bool:
    return isinstance(user, User) and not user.is_operator and user.has_role(Membership.Role.TEAM_LEAD, "admin")


def _form(verb: str, *, ids: list[uuid.UUID] | None = None, data: Any = None) -> forms.Form:
    form = ChosenForm(data, initial={"ids": ",".join(map(str, ids or []))})
    if verb == "terminate":
        form.fields[TYPED] = TypedField(expected="terminate")
    return form


def _sentences(verb: str, answer: services.BulkAnswer) -> list[str]:
    counts = answer.counts
    told = [f"{counts['accepted']} machines {verb}; {counts['refused']} do not."]
    if verb == "terminate":
        told.append("What is on their volumes is lost for good.")
    reasons = Counter(item["code"] for item in answer.items if not item["accepted"])
    told += [f"{count} for {code.replace('_', ' ')}." for code, count in reasons.most_common()]
    refused = [item for item in answer.items if not item["accepted"]]
    return told + [f"{item['id']}: {item['detail']}" for item in refused[:SHOWN_REFUSALS]]
