"""The console's page on which people change their own password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import PasswordChangeView
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from unfold.forms import AdminOwnPasswordChangeForm

from forge.accounts.passwords import change_password
from forge.accounts.signin.sessions import follow, revoke_all
from forge.adminkit.problems import sentence_of
from forge.api.errors import Problem


class OwnPasswordView(PasswordChangeView):
    """Django's page, with the change made by the service, so that it commits with its audit entry or not at all.

    The person's other sessions end with it.
    """

    form_class = AdminOwnPasswordChangeForm

    def form_valid(self, form: Any) -> HttpResponse:
        request: Any = self.request
        key = request.session.session_key
        try:
            with transaction.atomic():
                password = form.cleaned_data["new_password1"]
                user = change_password(actor=request.actor, user=request.user, password=password)
                revoke_all(actor=request.actor, user=user, but_key=key)
                update_session_auth_hash(request, user)
                follow(old_key=key, new_key=request.session.session_key)
        except Problem as problem:
            form.add_error(None, sentence_of(problem))
            response = self.form_invalid(form)
            response.problem = problem  # type: ignore[attr-defined]  # for the audit log: nothing was done
            return response
        return HttpResponseRedirect(self.get_success_url())
