"""What the admin classes of several rooms share: forms that a service judges, rows of the own organization."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import construct_instance
from django.http import HttpRequest

from forge.accounts.models import Membership
from forge.adminkit.admin import ForgeModelAdmin

Role = Membership.Role


class ServiceForm(forms.ModelForm):
    """A form whose service judges the rules between fields, in words that people understand."""

    def _post_clean(self) -> None:
        """As Django's, without the model's constraints: the service refuses what they forbid, and says why."""
        try:
            self.instance = construct_instance(self, self.instance, self._meta.fields, self._meta.exclude)
            self.instance.full_clean(
                exclude=self._get_validation_exclusions(), validate_unique=False, validate_constraints=False
            )
        except ValidationError as error:
            self._update_errors(error)


class OwnOrganizationAdmin(ForgeModelAdmin):
    """Rows are added in the organization of whoever adds them, so operators of the installation add none."""

    form = ServiceForm

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not request.user.is_operator and super().has_add_permission(request, obj)


def is_admin_over(user: Any, organization_id: Any) -> bool:
    return user.is_operator or (user.organization_id == organization_id and user.has_role(Role.ADMIN))
