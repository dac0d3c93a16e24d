"""The operators' console: Unfold's admin site, open to those who oversee others, with a sidebar by role."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.paginator import InvalidPage
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_POST
from unfold.sites import UnfoldAdminSite

from audit.capture import SAFE_METHODS
from forge.accounts.actions import PASSWORD_CHANGE
from forge.adminkit.exports import READS, File
from forge.adminkit.times import look_from
from forge.api.errors import Denied, Unauthenticated
from forge.console import saved
from forge.console.exports import export_list
from forge.console.overview import overview
from forge.console.pages import PAGES
from forge.console.passwords import OwnPasswordView
from forge.console.signing_in import ConsoleSignInView
from forge.console.system import may_see_system, paused_jobs, system_page
from forge.console.unfold import SIDEBAR


class ForgeAdminSite(UnfoldAdminSite):
    """The one admin site of Forge; `django.contrib.admin.site` is an instance of it."""

    index_title = "Overview"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Operators and the roles that oversee others, while their account is live."""
        user: Any = request.user
        return user.is_authenticated and user.is_active and user.is_staff

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., HttpResponse]:
        """As Django's; where it sends somebody to the sign-in page, the answer says so to the audit log.

        That somebody without a session looks for the console is no refusal, only the way in.
        """
        django_view = super().admin_view(view, cacheable)

        def judged(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            look_from(request.user)
            refusal = None
            if not self.has_permission(request):
                refusal = Denied() if request.user.is_authenticated else Unauthenticated()
            response = django_view(request, *args, **kwargs)
            if refusal is not None and (request.user.is_authenticated or request.method not in SAFE_METHODS):
                response.problem = refusal  # type: ignore[attr-defined]
            return response

        return update_wrapper(judged, django_view)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """What every page has; those who are signed in are told of jobs that are paused.

        The button to a row's history, which is the audit log's, is theirs who may read that.
        """
        context = super().each_context(request)
        if not context["has_permission"]:
            return context | {"paused_jobs": [], "show_history": False}
        reads_log = self._opens(request)("audit.auditlog")
        return context | {"paused_jobs": paused_jobs(request.user), "show_history": reads_log}

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Django's, made when a page shows it: each page is given it, and the sidebar is `get_sidebar_list`."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign-in of those whose role opens the console, then their second factor; the overview for who is in."""
        if request.method in READS and self.has_permission(request):
            return HttpResponseRedirect(reverse(f"{self.name}:index"))
        request.current_app = self.name  # type: ignore[attr-defined]
        context = {**(extra_context or {}), "title": "Sign in", "username": request.user.get_username()}
        return ConsoleSignInView.as_view(extra_context=context)(request)

    login.audit_sign_in = True  # type: ignore[attr-defined]

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Django's; the session ends together with its audit entry."""
        with transaction.atomic():
            return super().logout(request, extra_context)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The overview, by role."""
        admins = self._by_label()
        shown = overview(request.user, timezone.now(), opens=lambda label: admins[label].has_view_permission(request))
        return super().index(request, {**(extra_context or {}), **shown})

    def page_of(self, request: HttpRequest, obj: Any) -> dict[str, Any] | None:
        """What stands above the fields on the page of a row, with the `template` that shows it; None for most rows."""
        make = PAGES.get(obj._meta.label_lower)
        return make(request, obj, timezone.now(), self._opens(request)) if make is not None else None

    def _opens(self, request: HttpRequest) -> Callable[[str], bool]:
        """Whether the person may open the list of the model with that label."""
        admins = self._by_label()
        return lambda label: label in admins and admins[label].has_view_permission(request)

    def _by_label(self) -> dict[str, ModelAdmin]:
        return {model._meta.label_lower: model_admin for model, model_admin in self._registry.items()}

    def extra_urls(self) -> list[URLPattern]:
        return [
            path("system/", self.admin_view(self.system_view), name="system"),
            path("saved/", self._recorded(self.saved_view, saved.save_view), name="saved"),
            path(
                "saved/<uuid:saved_id>/forget/",
                self._recorded(saved.forget_view, saved.forget_view),
                name="saved_forget",
            ),
        ]

    def _recorded(self, view: Callable[..., HttpResponse], declared: Any) -> Callable[..., HttpResponse]:
        """The view for those who may come in, saying to the audit log what it is for, also where it is not reached."""
        judged = self.admin_view(view)
        judged.audit_action = declared.audit_action  # type: ignore[attr-defined]
        judged.audit_resource = declared.audit_resource  # type: ignore[attr-defined]
        return judged

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """One's own password."""
        request.current_app = self.name  # type: ignore[attr-defined]
        view = OwnPasswordView.as_view(
            success_url=reverse(f"{self.name}:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)

    password_change.audit_action = PASSWORD_CHANGE  # type: ignore[attr-defined]

    @method_decorator(require_POST)
    def saved_view(self, request: HttpRequest) -> HttpResponse:
        """Keep a list under a name."""
        return saved.save_view(request, self._opens(request))

    def list_context(self, request: HttpRequest, label: str) -> dict[str, Any]:
        """What stands above every list."""
        return saved.list_context(request, label)

    def export_list(self, request: HttpRequest, model_admin: Any, queryset: QuerySet) -> File:
        """The rows of a list as a file, which the audit log then knows of."""
        return export_list(request, model_admin, queryset)

    def system_view(self, request: HttpRequest) -> HttpResponse:
        """Checks and jobs of the installation."""
        return system_page(request, self.each_context(request))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Unfold's search, with 404 for a page that there is not."""
        try:
            return super().search(request, extra_context)
        except (ValueError, InvalidPage):
            raise Http404("no such page of results") from None

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The groups of SIDEBAR with those entries that the person may open; a group without any is left out."""
        admins = self._by_label()
        groups = []
        for title, entries in SIDEBAR:
            items = [item for entry in entries if (item := self._item(request, admins, *entry))]
            if items:
                items = self._get_navigation_items(request, items)
                groups.append({"title": title, "separator": bool(groups), "items": items})
        return groups

    def _item(
        self, request: HttpRequest, admins: dict[str, ModelAdmin], target: str, title: str, icon: str
    ) -> dict[str, Any] | None:
        if "." in target:
            model_admin = admins.get(target)
            if model_admin is None or not model_admin.has_view_permission(request):
                return None
            view = f"{target.replace('.', '_')}_changelist"
        elif target == "system" and not may_see_system(request.user):
            return None
        else:
            view = target
        return {"title": title, "icon": icon, "link": reverse(f"{self.name}:{view}")}
