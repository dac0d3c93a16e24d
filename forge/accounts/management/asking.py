"""What the commands that make an account ask for."""

from __future__ import annotations

import getpass
import os

from django import forms
from django.core.management.base import CommandError


def checked(answers: forms.Form) -> dict[str, str]:
    """The values of the command line as its form has them; raises CommandError, which names each option that is off."""
    if not answers.is_valid():
        faults = [f"--{name.replace('_', '-')}: {error}" for name, [error, *_] in answers.errors.items()]
        raise CommandError(" ".join(faults))
    return answers.cleaned_data


def password_of(whose: str, *, variable: str) -> str:
    """The password in the environment's `variable`, else one that is typed at the terminal, twice.

    Raises CommandError where the two differ, and without a terminal.
    """
    if given := os.environ.get(variable):
        return given
    try:
        password = getpass.getpass(f"Password of the {whose}: ")
        again = getpass.getpass("The same once more: ")
    except EOFError as error:
        raise CommandError(f"Nobody can be asked for a password here: set {variable}.") from error
    if password != again:
        raise CommandError("The two passwords differ; nothing was changed.")
    return password
