"""A password for whoever has none, or has forgotten it: asked for on the sign-in page, chosen by a link from mail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from audit.actors import Actor, Kind, source_address
from audit.entries import DENIED, SUCCESS
from audit.services import record
from forge.accounts import actions, links
from forge.accounts.models import User
from forge.accounts.passwords import PasswordRefused, set_password
from forge.accounts.services.authority import MayNotManagePeople
from forge.accounts.signin import factors, guarding, sessions
from forge.api.errors import NotFound, TooMany
from forge.api.rates import Rate
from forge.api.throttles import Bucket, counter
from forge.outbox.services import Owed, owe


class NoSuchOperator(NotFound):
    code = "no_such_operator"
    title = "There is no such operator"


PAUSE = timedelta(minutes=5)
"""Within this an account is sent one link, however often and by whomever it is asked for."""


def require_rate(request: HttpRequest, *, step: str) -> None:
    """Count a request for a link, or one with a link that is not valid.

    Raises TooMany where those of its address are used up.
    """
    rate = Rate.parse(settings.FORGE_RATE_PASSWORD_RESET)
    if rate is None:
        return
    now = time.time()
    bucket = Bucket(f"password-{step}:{source_address(request)}", "this address", rate)
    hits = counter(settings.REDIS_URL).hit([bucket], now)
    if hits is not None and hits[0] > rate.limit:
        raise TooMany(f"The {rate} of {bucket.whose} are used up.", retry_after=rate.seconds - int(now) % rate.seconds)


def ask(*, actor: Actor, email: str, now: datetime) -> None:
    """Owe the person of this address a link, where there is one whom mail may help; whoever asks learns neither."""
    user = User.objects.select_related("organization").filter(email__iexact=email).first()
    is_helped = user is not None and links.may_choose(user)
    with transaction.atomic():
        record(
            actor=actor if user is None else actor.in_organization(user.organization_id),
            action=actions.PASSWORD_RESET_REQUEST,
            resource_type="User",
            resource_id="" if user is None else str(user.pk),
            result=SUCCESS if is_helped else DENIED,
            description="A link to choose a password was asked for",
        )
        if user is not None and is_helped:
            life = timedelta(minutes=settings.FORGE_PASSWORD_LINK_MINUTES)
            step = int(now.timestamp() // PAUSE.total_seconds())
            owe([_mail(user, "account.password_link", once=f"{step}", useless_after=now + life)], now=now)


def choose(*, actor: Actor, token: str, password: str, now: datetime) -> User:
    """Give the holder of the link a password; sessions end, a lock opens, second factors stay.

    Raises LinkNotValid, PasswordRefused.
    """
    with transaction.atomic():
        user = links.holder(token, now=now, is_locking=True)
        had_one = user.has_usable_password()
        if user.check_password(password):
            raise PasswordRefused("It is the password that you have now.")
        own = actor.in_organization(user.organization_id)
        _give(user, password, actor=own)
        record(
            actor=own,
            action=actions.PASSWORD_RESET,
            resource_type="User",
            resource_id=str(user.pk),
            description=f"{'A new' if had_one else 'The first'} password of user {user.pk}, by a link from mail",
        )
        if had_one:
            told = _mail(user, "account.password_reset", once=now.isoformat(), facts={"at": now.isoformat()})
            owe([told], now=now)
    return user


def require_operator(email: str, *, is_locking: bool = False) -> User:
    """The operator of the installation with that address, while the account is on; raises NoSuchOperator."""
    people = User.objects.filter(organization=None, email__iexact=email.strip(), is_active=True)
    user = (people.select_for_update(no_key=True) if is_locking else people).first()
    if user is None:
        raise NoSuchOperator("No operator of the installation has this email; nothing was changed.")
    return user


def recover_operator(*, actor: Actor, email: str, password: str, without_factors: bool = False) -> tuple[User, bool]:
    """Give an operator of the installation, whom no mail helps, a new password; for the command line alone.

    Sessions end, a lock opens; second factors stay unless `without_factors`. Answers the operator, and whether factors
    were taken away. Raises MayNotManagePeople,
    NoSuchOperator, PasswordRefused.
    """
    if actor.kind != Kind.COMMAND:
        raise MayNotManagePeople("Operators of the installation are helped on the command line alone.")
    with transaction.atomic():
        user = require_operator(email, is_locking=True)
        if user.check_password(password):
            raise PasswordRefused("It is the password that the operator has now; nothing was changed.")
        _give(user, password, actor=actor)
        record(
            actor=actor,
            action=actions.PASSWORD_RESET,
            resource_type="User",
            resource_id=str(user.pk),
            description=f"A new password of operator {user.pk} of the installation, on the command line",
        )
        had_factors = without_factors and factors.take_away(user, actor=actor)
    return user, had_factors


def _give(user: User, password: str, *, actor: Actor) -> None:
    """Set the password, end the sessions, open a lock; in the caller's transaction, which has the row."""
    set_password(user, password)
    user.save(update_fields=["password", "updated_at"])
    guarding.note_success(guarding.take(user))
    sessions.revoke_all(actor=actor, user=user)


def _mail(
    user: User, kind: str, *, once: str, useless_after: datetime | None = None, facts: Mapping[str, str] | None = None
) -> Owed:
    if user.organization_id is None:
        raise ValueError("An operator of the installation gets no mail of an organization.")
    return Owed(
        organization_id=user.organization_id,
        recipient_id=user.pk,
        kind=kind,
        target_type="User",
        target_id=user.pk,
        once=once,
        facts=facts or {},
        useless_after=useless_after,
    )
