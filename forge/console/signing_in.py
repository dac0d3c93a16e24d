"""The console's sign-in page: for people whose role opens it."""

from __future__ import annotations

from forge.accounts.signin.forms import ConsoleSignInForm
from forge.accounts.signin.views import SignInView


class ConsoleSignInView(SignInView):
    """As everybody's, for those alone who oversee others."""

    form_class = ConsoleSignInForm
    redirect_authenticated_user = False  # somebody without the role may sign in as somebody else
