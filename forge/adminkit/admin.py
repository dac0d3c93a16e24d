"""The base of every admin class: looking is by role and organization, changing is by service.

@admin.register(WorkSpace)
class WorkSpaceAdmin(ForgeModelAdmin):
    list_display = ("name", "owner", "state", "created_at")
    list_filter = ("state", "team")
    view_roles = ("team_lead", "finance", "auditor", "admin")
    buttons = (
        Button("stop", "Stop", icon="stop_circle", legal=permissions.may_stop, run=_stop,
               explain=lambda request, workspace: [f"{workspace.name} stops; unsaved work in it is lost."]),
    )
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import get_fields_from_path, unquote
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, PermissionDenied, ValidationError
from django.db.models import BooleanField, DateField, DateTimeField, Model, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.text import slugify
from django.views.generic import RedirectView
from unfold.admin import ModelAdmin, TabularInline
from unfold.enums import ActionVariant

from forge.adminkit.buttons import Button, ShownOnce
from forge.adminkit.changelists import KeysetChangeList
from forge.adminkit.exports import READS, ExportsWhatItShows
from forge.adminkit.filters import VisibleRelatedFilter, lookups_of, visible
from forge.adminkit.orders import is_placed
from forge.adminkit.prefills import readable
from forge.adminkit.problems import refused, refused_with_message, sentence_of
from forge.adminkit.times import column
from forge.api.errors import Denied, Hidden, NotFound, PreconditionFailed, Problem
from forge.db import scope


class ReadByRole:
    """Permissions of an admin class or inline: `view_roles` may look, nobody may write by default.

    Operators of the installation may look at everything.
    """

    view_roles: Sequence[str] = ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _has_role(request, self.view_roles)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """The rows that the person may see."""
        return visible(super().get_queryset(request), request)  # type: ignore[misc]


class ForgeInline(ReadByRole, TabularInline):
    """Related rows to look at, at most `max_num` of them."""

    extra = 0
    can_delete = False
    show_change_link = True


class ForgeModelAdmin(ReadByRole, ExportsWhatItShows, ModelAdmin):
    """Read-only unless `add_roles` or `change_roles` say otherwise; then `save_by_service` makes the change."""

    add_roles: Sequence[str] = ()
    change_roles: Sequence[str] = ()
    buttons: Sequence[Button] = ()
    audit_add, audit_change = "", ""  # action types of what the forms do, for the entries of those that are refused
    link_lookups: Sequence[str] = ()  # what other pages of the console link with, beside what `list_filter` shows
    export_ordering: Sequence[str] = ()  # of files, where that of the list is not the newest first
    ordering_of_all: Sequence[str] = ()  # for operators, where an organization leads the index of `ordering`
    actions = ()
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # counts the rows of each choice of each filter
    list_disable_select_all = True
    change_form_outer_before_template = "adminkit/page.html"

    # -- who may ---------------------------------------------------------------------------------------------------
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _has_role(request, (*self.view_roles, *self.add_roles, *self.change_roles))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.add_roles) and _has_role(request, self.add_roles)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.change_roles) and _has_role(request, self.change_roles)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """No bulk action that passes the services: Django's own delete_selected is never offered."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    # -- lists -----------------------------------------------------------------------------------------------------
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; where Django led here from an address that cannot be meant, it says so: nothing is filtered.

        It takes no POST: without bulk actions that changes nothing, whatever Django answers.
        """
        if request.method not in READS:
            return HttpResponseNotAllowed(READS)
        if ERROR_FLAG in request.GET:
            messages.warning(request, "The address asked for what no row can have. This is the list without filters.")
        shown = self.admin_site.list_context(request, self.opts.label_lower)
        links = {"export_links": self.export_links(request)}
        return super().changelist_view(request, {**shown, **links, **(extra_context or {})})

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        """`ordering`, or that of those who look into all organizations."""
        user: Any = request.user
        return self.ordering_of_all if self.ordering_of_all and user.is_operator else super().get_ordering(request)

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        """The columns that a page can be found by."""
        return [name for name in super().get_sortable_by(request) if self._is_placed(name)]

    def _is_placed(self, name: Any) -> bool:
        try:
            return not isinstance(name, str) or is_placed(self.opts.get_field(name))
        except FieldDoesNotExist:
            return True

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """`list_display`, with instants in the zone of whoever looks."""
        return [self._shown_in_zone(name) for name in super().get_list_display(request)]

    def _shown_in_zone(self, name: Any) -> Any:
        try:
            field = self.opts.get_field(name) if isinstance(name, str) else None
        except FieldDoesNotExist:
            return name
        return column(name, str(field.verbose_name)) if isinstance(field, DateTimeField) else name

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """`list_filter`, with relations offered by VisibleRelatedFilter."""
        return [self._scoped(entry) for entry in super().get_list_filter(request)]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what `list_filter`, `date_hierarchy` and `link_lookups` name.

        Django admits every lookup on the model's own fields: with one that is not shown, such as a password's hash,
        the length of the list gives the value away letter by letter.
        """
        shown = self.get_list_filter(request) if request is not None else self.list_filter
        known = {name for entry in shown for name in lookups_of(self.model, entry)}
        if self.date_hierarchy:
            known |= {f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day")}
        return lookup in known or lookup in self.link_lookups

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """The rows in which the words are found; none where a word cannot be what a searched field holds."""
        try:
            return super().get_search_results(request, queryset, search_term)
        except (ValidationError, ValueError):
            return queryset.none(), False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", visible(db_field.remote_field.model._default_manager.all(), request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", visible(db_field.remote_field.model._default_manager.all(), request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def _scoped(self, entry: Any) -> Any:
        if not isinstance(entry, str):
            return entry
        field = get_fields_from_path(self.model, entry)[-1]
        if field.is_relation:
            return entry, VisibleRelatedFilter
        if "__" in entry and not (field.flatchoices or isinstance(field, BooleanField | DateField)):
            raise ImproperlyConfigured(f"{type(self).__name__}: {entry} would list every organization's values")
        return entry

    # -- forms -----------------------------------------------------------------------------------------------------
    def save_by_service(self, request: HttpRequest, obj: Model, form: Any, *, change: bool) -> Model:
        """Make the change that the valid `form` describes by one service call and return the row."""
        raise NotImplementedError(f"{type(self).__name__} allows forms, so it needs save_by_service")

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        saved = self.save_by_service(request, obj, form, change=change)
        obj.__dict__.update(saved.__dict__)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: the service has written what belongs to the row."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form; when the service refuses, the form again with the refusal on it and nothing written."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except Problem as problem:
            request.problem = problem  # type: ignore[attr-defined]
        return refused(super().changeform_view(request, *args, **kwargs), request.problem)  # type: ignore[attr-defined]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> type[Form]:
        form = super().get_form(request, obj, change=change, **kwargs)
        problem = getattr(request, "problem", None)
        return form if problem is None else type(form.__name__, (form,), {"clean": _refusing(problem)})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return readable(self.get_form(request).base_fields, super().get_changeform_initial_data(request))

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """Nothing: the audit log has it, from the service."""

    log_change = log_addition

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The row's entries in the audit log."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in READS:
            return HttpResponseNotAllowed(READS)
        try:
            log = reverse(f"{self.admin_site.name}:audit_auditlog_changelist")
        except NoReverseMatch:
            return super().history_view(request, object_id, extra_context)
        return HttpResponseRedirect(f"{log}?{urlencode({'resource_id__exact': unquote(object_id)})}")

    # -- buttons ---------------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        info = self.opts.app_label, self.opts.model_name
        press = path(
            "<path:object_id>/do/<slug:name>/",
            self.admin_site.admin_view(self.button_view),
            name="{}_{}_button".format(*info),
        )
        django = [
            pattern for pattern in super().get_urls() if pattern.name
        ]  # all but its redirect, which takes POST too
        return [self._named_for_audit(pattern) for pattern in (press, *django, self._short_address(info))]

    def _short_address(self, info: tuple[str, str | None]) -> URLPattern:
        """The address of a row without an end, which leads to its page."""
        page = f"{self.admin_site.name}:{info[0]}_{info[1]}_change"
        view = RedirectView.as_view(pattern_name=page, http_method_names=[method.lower() for method in READS])
        return path("<path:object_id>/", self.admin_site.admin_view(view))

    def _named_for_audit(self, pattern: URLPattern) -> URLPattern:
        """The address, saying to the audit log what it is for, also where the view is never reached."""
        suffix = (pattern.name or "").rpartition("_")[2]
        declared = {
            "add": self.audit_add,
            "change": self.audit_change,
            "button": {button.name: button.audit_action for button in self.buttons},
            "export": self.audit_export,
        }
        pattern.callback.audit_resource = self.opts.object_name  # type: ignore[attr-defined]
        pattern.callback.audit_action = declared.get(suffix) or None  # type: ignore[attr-defined]
        return pattern

    def legal_buttons(self, request: HttpRequest, obj: Any) -> list[Button]:
        """The buttons that this person may press on this row now."""
        return [button for button in self.buttons if button.legal(request.user, obj)]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        obj = kwargs.get("obj")
        if obj is not None:
            context["page"] = self.admin_site.page_of(request, obj)
        if obj is not None and self.buttons:
            context["actions_detail"] = [*context.get("actions_detail", ()), *self._bar(request, obj)]
        return super().render_change_form(request, context, *args, **kwargs)

    def button_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """GET shows what the button will do, POST does it; a refusal stands on the form, or is a message."""
        obj = self.get_object(request, object_id)
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        button = next((one for one in self.legal_buttons(request, obj) if one.name == name), None)
        if button is None:
            messages.warning(request, f"“{name}” is not possible for {obj} now.")
            known = any(one.name == name for one in self.buttons)
            return refused(HttpResponseRedirect(self._detail_url(obj)), Denied() if known else NotFound())
        form = button.form_for(obj, request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return self._press(request, obj, button, form)
        return self._confirm(request, obj, button, form)

    def _confirm(self, request: HttpRequest, obj: Any, button: Button, form: Form, **more: Any) -> HttpResponse:
        context = self._page_of(obj, request) | {
            "title": f"{button.label}: {obj}",
            "button": button,
            "form": form,
            "sentences": list(button.explain(request, obj)) if button.explain else [],
            **more,
        }
        return TemplateResponse(request, "adminkit/confirm_button.html", context)

    def _press(self, request: HttpRequest, obj: Any, button: Button, form: Form) -> HttpResponse:
        try:
            said = button.press(request, obj, form.cleaned_data)
        except Problem as problem:
            if not button.form.base_fields:
                return refused_with_message(request, problem, self._detail_url(obj))
            form.add_error(None, sentence_of(problem))
            is_stale = isinstance(problem, PreconditionFailed)
            return refused(self._confirm(request, obj, button, form, is_stale=is_stale), problem)
        if isinstance(said, ShownOnce):
            context = self._page_of(obj, request) | {"title": f"{button.label}: {obj}", "shown": said}
            return TemplateResponse(request, "adminkit/shown_once.html", context)
        messages.success(request, said or f"{button.label}: {obj}")
        return HttpResponseRedirect(self._detail_url(obj))

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """A message and the overview; the audit log hears whether the row is another organization's.

        Django's own message supposes that somebody deleted it.
        """
        messages.warning(request, f"There is no {opts.verbose_name} “{unquote(object_id)[:100]}” here.")
        response = HttpResponseRedirect(reverse(f"{self.admin_site.name}:index"))
        try:
            with scope.system():
                exists = self.model._default_manager.filter(pk=unquote(object_id)).exists()
        except (ValidationError, ValueError):
            exists = False
        return refused(response, Hidden() if exists else NotFound())

    def _page_of(self, obj: Any, request: HttpRequest) -> dict[str, Any]:
        """Template context of a page about a row."""
        page = {"opts": self.opts, "original": obj, "back_url": self._detail_url(obj)}
        return self.admin_site.each_context(request) | page

    def _detail_url(self, obj: Any) -> str:
        return reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change", args=(obj.pk,))

    def _bar(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """The buttons as the page's bar shows them, those of a group under its name where the first of them stands."""
        bar: list[dict[str, Any]] = []
        groups: dict[str, list[dict[str, Any]]] = {}
        for button in self.legal_buttons(request, obj):
            entry = self._shown(button, obj)
            if button.group in groups:
                groups[button.group].append(entry)
            elif button.group:
                groups[button.group] = [entry]
                bar.append(_drop_down(button.group, groups[button.group]))
            else:
                bar.append(entry)
        return bar

    def _shown(self, button: Button, obj: Any) -> dict[str, Any]:
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_button"
        return {
            "title": button.label,
            "icon": button.icon,
            "variant": button.variant,
            "attrs": {},
            "path": reverse(name, args=(obj.pk, button.name)),
        }


def _drop_down(title: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": title,
        "method_name": slugify(title),
        "icon": "",
        "variant": ActionVariant.DEFAULT,
        "attrs": {},
        "items": items,
    }


def _has_role(request: HttpRequest, roles: Sequence[str]) -> bool:
    user: Any = request.user
    return user.is_authenticated and user.is_active and (user.is_operator or (bool(roles) and user.has_role(*roles)))


def _refusing(problem: Problem) -> Any:
    def clean(form: Any) -> None:
        raise ValidationError(sentence_of(problem), code=problem.code)

    return clean
