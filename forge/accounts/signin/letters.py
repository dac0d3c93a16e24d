"""What mail about one's account says; named in FORGE_MAIL_KINDS."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from forge.accounts import links
from forge.accounts.models import ApiToken, User
from forge.outbox.letters import Letter, NothingToTell, Reader
from forge.outbox.models import Mail

_CHANGES = {
    "MFA_ADD": "A second factor was added to your account.",
    "MFA_REMOVE": "A second factor was removed from your account.",
    "MFA_UPDATE": "A second factor of your account was renamed, or its recovery codes were made anew.",
    "MFA_RESET": "An admin has taken away all second factors of your account and ended your sessions.",
}


def locked(mail: Mail, reader: Reader) -> Letter:
    """That failures have shut the account, until when, and what to do if it was somebody else."""
    return Letter(
        subject="Forge: your account is locked for a while",
        sentence="Your account is locked: somebody gave a wrong password or code several times in a row.",
        rows=[
            ("Last try", reader.time(datetime.fromisoformat(mail.facts["at"]))),
            ("Opens again", reader.time(datetime.fromisoformat(mail.facts["until"]))),
        ],
        paragraphs=[
            "If it was you, wait, or ask an admin of your organization to unlock the account.",
            "If it was not, tell an admin: somebody knows your address and guesses. Your tokens work on.",
        ],
    )


def factors_changed(mail: Mail, reader: Reader) -> Letter:
    """That second factors of the account were changed."""
    return Letter(
        subject="Forge: the second factors of your account have changed",
        sentence=_CHANGES[mail.facts["action"]],
        rows=[("Changed at", reader.time(datetime.fromisoformat(mail.facts["at"])))],
        paragraphs=["If that was not you, tell an admin of your organization at once."],
    )


def invited(mail: Mail, reader: Reader) -> Letter:
    """That somebody has an account, and how to come in the first time: by a link, or by the identity provider."""
    user = User.objects.select_related("organization").get(pk=mail.recipient_id)
    if user.has_usable_password() or user.last_login is not None:
        raise NothingToTell("the person has a password, or has signed in")
    rows = [("Account", user.email), ("Organization", str(user.organization))]
    if links.may_choose(user):
        until = timezone.now() + timedelta(days=settings.FORGE_INVITATION_DAYS)
        way = f"Choose a password, then sign in: {links.address_of(user, until=until)}"
        late = f"Later ask for another link by “Forgot your password?”: {links.page('account_reset_password')}"
        rows.append(("The link works until", reader.time(until)))
    elif providers := links.providers_of(user):
        way = f"Sign in by {' or '.join(one.name for one in providers)}: {links.page('account_login')}"
        late = "You need no password here."
    else:
        raise NothingToTell("the account has ended")
    return Letter(
        subject="Forge: you have an account",
        sentence="You have an account in RobCo Forge, where you get workstations in the cloud.",
        rows=rows,
        paragraphs=[way, late],
    )


def password_link(mail: Mail, reader: Reader) -> Letter:
    """The link to choose a new password."""
    user = User.objects.select_related("organization").get(pk=mail.recipient_id)
    if not links.may_choose(user):
        raise NothingToTell("the account has ended, or is opened by an identity provider")
    until = timezone.now() + timedelta(minutes=settings.FORGE_PASSWORD_LINK_MINUTES)
    return Letter(
        subject="Forge: choose a new password",
        sentence="Somebody, probably you, has asked for a new password of your account.",
        rows=[("Account", user.email), ("The link works until", reader.time(until))],
        paragraphs=[
            f"Choose it here: {links.address_of(user, until=until)}",
            "If it was not you, do nothing: your password stays as it is.",
        ],
    )


def password_reset(mail: Mail, reader: Reader) -> Letter:
    """That a new password was chosen by a link from mail."""
    return Letter(
        subject="Forge: your password has changed",
        sentence="A new password of your account was chosen by a link from mail; all sessions have ended.",
        rows=[("Changed at", reader.time(datetime.fromisoformat(mail.facts["at"])))],
        paragraphs=[
            f"Your API tokens work on. If others may have them, revoke them all: {links.page('account_overview')}",
            "If that was not you, tell an admin of your organization at once: somebody reads your mail.",
        ],
    )


def token_ends(mail: Mail, reader: Reader) -> Letter:
    """When a token ends, and how to put another in its place."""
    token = ApiToken.objects.select_related("user").get(pk=mail.target_id)
    end = datetime.fromisoformat(mail.facts["ends_at"])
    if token.revoked_at is not None or token.expires_at != end:
        raise NothingToTell("the token has another end now, or was revoked")
    return Letter(
        subject=f"Forge: the token {token.name} ends soon",
        sentence=f"The API token {token.name} ends soon; whatever uses it stops working then.",
        rows=[("Token", f"{token.name} ({token.prefix}…)"), ("Of", str(token.user)), ("Ends", reader.time(end))],
        paragraphs=["Issue another one, put it where this one is used, then revoke this one."],
    )


def credentials_end(mail: Mail, reader: Reader) -> Letter:
    """When somebody's credentials end, and who extends them."""
    user = User.objects.get(pk=mail.target_id)
    end = datetime.fromisoformat(mail.facts["ends_at"])
    if user.credentials_expire_at != end:
        raise NothingToTell("the credentials have another end now")
    is_own = mail.recipient_id == user.id
    whose = "Your credentials" if is_own else f"The credentials of {user}"
    return Letter(
        subject=f"Forge: {'your credentials' if is_own else f'the credentials of {user}'} end soon",
        sentence=f"{whose} end soon. After that neither signing in nor any token works.",
        rows=[("Account", user.full_name), ("Ends", reader.time(end))],
        paragraphs=["A team lead or an admin extends them by giving the role again with a later end."],
    )
