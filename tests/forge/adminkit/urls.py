"""A console with a few admin classes of our own, to try the bases with."""

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import path
from unfold.enums import ActionVariant

from forge.accounts.models import Project, Team, User
from forge.adminkit.admin import ForgeInline, ForgeModelAdmin
from forge.adminkit.buttons import Button
from forge.api.errors import Conflict, Refused
from forge.console.sites import ForgeAdminSite
from forge.db.models import JobRun, JobSwitch

site = ForgeAdminSite(name="admin")


class CostCenterFull(Refused):
    code = "cost_center_full"
    title = "The cost center takes no more"
    suggested_action = "Choose another."


class RenameForm(forms.Form):
    name = forms.CharField(max_length=50)


def rename(request: HttpRequest, project: Project, *, name: str) -> str:
    if name == "taken":
        raise Conflict("The name is taken.")
    Project.objects.filter(pk=project.pk).update(name=name)
    return f"Now called {name}."


def close(request: HttpRequest, project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(cost_center="CLOSED")


class ProjectInline(ForgeInline):
    model = Project
    fields = ("name",)
    view_roles = ("admin",)
    max_num = 5


@admin.register(Project, site=site)
class ProjectAdmin(ForgeModelAdmin):
    list_display = ("name", "cost_center", "owner")
    list_filter = ("owner", "cost_center")
    search_fields = ("id__exact", "name")
    fields = ("name", "cost_center", "owner")
    view_roles = ("auditor",)
    change_roles = ("admin",)
    add_roles = ("admin",)
    list_per_page = 10
    buttons = (
        Button("rename", "Rename", "OTHER", icon="edit", run=rename, form=RenameForm, legal=lambda user, project: True),
        Button(
            "close",
            "Close",
            "OTHER",
            run=close,
            variant=ActionVariant.DANGER,
            legal=lambda user, project: user.has_role("admin") and project.cost_center != "CLOSED",
            explain=lambda request, project: [f"{project.name} takes no more costs."],
            typed=lambda project: project.slug,
        ),
    )

    def save_by_service(self, request: HttpRequest, obj: Project, form: forms.ModelForm, *, change: bool) -> Project:
        if obj.cost_center == "full":
            Project.objects.filter(pk=obj.pk).update(name="half written")
            raise CostCenterFull("No room.", extra={"limit": 3})
        obj.organization = request.user.organization
        obj.slug = obj.slug or "made-here"
        obj.save()
        return obj


@admin.register(Team, site=site)
class TeamAdmin(ForgeModelAdmin):
    view_roles = ("admin", "team_lead")


@admin.register(User, site=site)
class PeopleAdmin(ForgeModelAdmin):
    list_display = ("email",)
    fields = ("email", "full_name")
    view_roles = ("admin",)


@admin.register(JobSwitch, site=site)
class SwitchAdmin(ForgeModelAdmin):
    list_display = ("job",)


@admin.register(JobRun, site=site)
class RunAdmin(ForgeModelAdmin):
    view_roles = ("admin",)


handler404 = "forge.api.handlers.not_found"
urlpatterns = [path("admin/", site.urls)]
