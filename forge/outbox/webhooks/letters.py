"""What mail about webhooks says; named in FORGE_MAIL_KINDS."""

from __future__ import annotations

from datetime import datetime

from forge.outbox.letters import Letter, NothingToTell, Reader
from forge.outbox.models import Mail, Webhook


def switched_off(mail: Mail, reader: Reader) -> Letter:
    """That a webhook is switched off, since when it failed and how it is switched on again."""
    webhook = Webhook.objects.get(pk=mail.target_id)
    if webhook.state != Webhook.State.FAILED:
        raise NothingToTell("the webhook is not switched off any more")
    status = mail.facts["status_code"]
    return Letter(
        subject=f"Forge: the webhook {webhook.name} is switched off",
        sentence=f"The webhook {webhook.name} is switched off: its receiver did not take what was sent.",
        rows=[
            ("Failing since", reader.time(datetime.fromisoformat(mail.facts["failing_since"]))),
            ("Failures in a row", str(mail.facts["failures"])),
            ("Last answer", "none" if status is None else str(status)),
        ],
        paragraphs=[
            "Nothing is sent there any more. Its deliveries say what each try came to.",
            "Once the receiver is mended, send a ping and switch the webhook on; what it missed is sent again by hand.",
        ],
    )
