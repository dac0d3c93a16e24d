"""Saved filters: above each list what the person has saved of it, and a form to save what it shows now."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from forge.accounts import actions
from forge.accounts.models import SavedList
from forge.accounts.saved_lists import NothingToSave, forget_list, save_list
from forge.adminkit.problems import refused_with_message
from forge.api.errors import NotFound, Problem
from forge.console.links import address


class SavedForm(forms.Form):
    """What is to be saved, free of NUL; lengths are the service's."""

    name = forms.CharField(required=False)
    query = forms.CharField(required=False)

    def clean_query(self) -> str:
        query = _clean(self.cleaned_data["query"])
        if "%00" in query:  # no page opens such an address
            raise forms.ValidationError("Null characters are not allowed.")
        return query


def list_context(request: HttpRequest, label: str) -> dict[str, Any]:
    """For the template of a list: the saved ones with their addresses, and what would be saved now ('' = nothing)."""
    user: Any = request.user
    kept = SavedList.objects.visible_to(user).filter(model_label=label).order_by("name")
    return {
        "saved_lists": [
            (one, f"{address(label)}?{one.query}", reverse("admin:saved_forget", args=[one.pk])) for one in kept
        ],
        "saved_label": label,
        "saved_query": _clean(request.GET.urlencode()),
    }


def save_view(request: HttpRequest, opens: Callable[[str], bool]) -> HttpResponse:
    """POST: keep a list under a name; back to it."""
    label, form = request.POST.get("model_label", ""), SavedForm(request.POST)
    if not opens(label):
        return refused_with_message(
            request, NotFound(f"There is no list {label[:100]!r} here."), reverse("admin:index")
        )
    if not form.is_valid():
        return refused_with_message(request, NothingToSave("Null characters are not allowed."), address(label))
    query = form.cleaned_data["query"]
    back = f"{address(label)}?{query}"
    try:
        kept = save_list(
            actor=request.actor,  # type: ignore[attr-defined]
            model_label=label,
            name=form.cleaned_data["name"],
            query=query,
            now=timezone.now(),
        )
    except Problem as problem:
        return refused_with_message(request, problem, back)
    messages.success(request, f"“{kept.name}” is saved: it stands above this list.")
    return HttpResponseRedirect(back)


@require_POST
def forget_view(request: HttpRequest, saved_id: uuid.UUID) -> HttpResponse:
    """POST: take a saved list away; to the whole list."""
    try:
        kept = forget_list(actor=request.actor, saved_id=saved_id, now=timezone.now())  # type: ignore[attr-defined]
    except Problem as problem:
        return refused_with_message(request, problem, reverse("admin:index"))
    messages.success(request, f"“{kept.name}” is taken away.")
    return HttpResponseRedirect(address(kept.model_label))


save_view.audit_action = actions.LIST_SAVE  # type: ignore[attr-defined]
forget_view.audit_action = actions.LIST_FORGET  # type: ignore[attr-defined]
save_view.audit_resource = forget_view.audit_resource = "SavedList"  # type: ignore[attr-defined]


def _clean(query: str) -> str:
    """Filters, search and order without the page, written as a browser writes them."""
    wanted = QueryDict(query[:4000], mutable=True)
    for name in (PAGE_VAR, ERROR_FLAG):
        wanted.pop(name, None)
    return wanted.urlencode()
