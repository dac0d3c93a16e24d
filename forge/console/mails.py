"""Having a mail that was given up tried again."""

from datetime import datetime

from django.db import transaction

from audit.actors import Actor, Kind
from audit.services import record
from forge.api.errors import Denied
from forge.console import actions
from forge.outbox.models import Mail
from forge.outbox.services import put_back


class MayNotRetryMail(Denied):
    code = "may_not_retry_mail"
    title = "Admins of the organization and operators of the installation have mail sent again"


def may_retry(user: object, mail: Mail) -> bool:
    """Whether `user` may have it tried again, were it given up: an admin of its organization, or an operator."""
    if user.is_operator:  # type: ignore[attr-defined]
        return True
    return user.organization_id == mail.organization_id and user.has_role("admin")  # type: ignore[attr-defined]


def retry(*, actor: Actor, mail: Mail, now: datetime) -> Mail:
    """Put a mail that was given up back among what is due, with its tries forgotten.

    For admins, operators and the command line. Raises MayNotRetryMail; MailNotGivenUp.
    """
    if actor.kind != Kind.COMMAND and not (actor.user is not None and may_retry(actor.user, mail)):
        raise MayNotRetryMail()
    with transaction.atomic():
        before = mail.state
        mail = put_back(mail=mail, now=now)
        record(
            actor=actor,
            organization_id=mail.organization_id,
            action=actions.MAIL_RETRY,
            description=f"Mail {mail.id} ({mail.kind}) is tried again",
            resource_type="Mail",
            resource_id=str(mail.id),
            changes={"before": {"state": before}, "after": {"state": mail.state}},
            context={"kind": mail.kind, "target_type": mail.target_type, "target_id": str(mail.target_id)},
            occurred_at=now,
        )
    return mail
