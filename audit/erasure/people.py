"""Whom an erasure is about: an id, and the addresses under which the log knows the person."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections

from audit.erasure import statements


class UnknownPerson(Exception):
    """Neither the log nor an account knows the person; the message says so."""


class AmbiguousPerson(Exception):
    """The address belonged to several people; the message names their ids."""


class StillActive(Exception):
    """The person's account is switched on."""


@dataclass(frozen=True)
class Person:
    """`user_id` is None for an address that was only ever tried; `addresses` are e-mail addresses."""

    user_id: uuid.UUID | None
    addresses: tuple[str, ...]

    @property
    def pattern(self) -> str | None:
        """A regular expression of PostgreSQL that finds each address where it stands as a whole."""
        if not self.addresses:
            return None
        either = "|".join(re.escape(address) for address in self.addresses)
        return rf"(?<![\w.%+-])(?:{either})(?![\w-]|\.\w)"

    @property
    def parameters(self) -> dict[str, Any]:
        """What the statements ask by."""
        return {
            "user_id": str(self.user_id) if self.user_id else None,
            "user_hex": self.user_id.hex if self.user_id else None,
            "pattern": self.pattern,
        }


def find(text: str, *, using: str) -> Person:
    """The person of an id or an e-mail address, from the log and from the accounts.

    Raises UnknownPerson, AmbiguousPerson; StillActive for somebody who may still sign in.
    """
    text = text.strip()
    try:
        user_id: uuid.UUID | None = uuid.UUID(text)
    except ValueError:
        if "@" not in text:
            raise UnknownPerson(f"{text!r} is neither a UUID nor an e-mail address.") from None
        user_id = _id_of(text, using)
    accounts = get_user_model()._default_manager.using(using)
    account = accounts.filter(pk=user_id).first() if user_id is not None else None
    if account is not None and account.is_active:
        raise StillActive("The account is active: switch it off and end its machines first.")
    addresses = set() if user_id is None else {email for (email,) in _ask(using, statements.ADDRESSES, user_id)}
    addresses |= ({account.email} if account is not None else set()) | ({text} if "@" in text else set())
    if not addresses and not _ask(using, statements.IS_KNOWN, user_id, user_id)[0][0]:
        raise UnknownPerson(f"No entry and no account belongs to {user_id}.")
    return Person(user_id, tuple(sorted(addresses)))


def _id_of(address: str, using: str) -> uuid.UUID | None:
    """The one person who has or had the address, None where nobody had."""
    accounts = get_user_model()._default_manager.using(using).filter(email__iexact=address)
    ids = {account.pk for account in accounts} | {id_ for (id_,) in _ask(using, statements.PEOPLE, address)}
    if len(ids) > 1:
        raise AmbiguousPerson(f"Several people had this address; give one of their ids: {', '.join(map(str, ids))}.")
    return next(iter(ids), None)


def _ask(using: str, statement: str, *parameters: Any) -> list[tuple]:
    with connections[using].cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
