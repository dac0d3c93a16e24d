"""A letter as a message: one subject line, a plain text part, and an HTML part in which every value is escaped."""

from __future__ import annotations

from urllib.parse import urljoin

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.template.backends.django import DjangoTemplates
from django.template.loader import render_to_string

from forge.outbox.letters import Letter, Reader
from forge.outbox.models import Mail
from forge.outbox.preferences import is_always_told

LONGEST_SUBJECT = 200

# Django escapes in every template, whatever its name ends in; what is plain text must show an ampersand as one.
_PLAIN = DjangoTemplates(
    {"NAME": "mail-text", "DIRS": [], "APP_DIRS": True, "OPTIONS": {"autoescape": False, "debug": False}}
)


def message_of(
    mail: Mail, letter: Letter, reader: Reader, *, connection: BaseEmailBackend | None = None
) -> EmailMultiAlternatives:
    """The message that `mail` stands for; the same Message-ID at every try."""
    subject = one_line(letter.subject)
    values = {
        "subject": subject,
        "reader": reader,
        "sentence": letter.sentence,
        "rows": letter.rows,
        "paragraphs": letter.paragraphs,
        "is_always_told": is_always_told(mail.kind),
        "choices_at": urljoin(settings.FORGE_BASE_URL, settings.FORGE_NOTIFICATIONS_URL),
    }
    text = _PLAIN.get_template("outbox/letter.txt").render(values)
    page = render_to_string("outbox/letter.html", values, using="django")
    message = EmailMultiAlternatives(
        subject=subject,
        body=text.strip() + "\n",
        to=[reader.address],
        headers={"Message-ID": mail.message_id, "Auto-Submitted": "auto-generated"},
        connection=connection,
    )
    message.attach_alternative(page, "text/html")
    for attachment in letter.attachments:
        message.attach(attachment.name, attachment.content, attachment.media_type)
    return message


def one_line(subject: str) -> str:
    """`subject` without line breaks and control characters, which would begin headers of their own; cut where long."""
    words = "".join(letter if letter.isprintable() else " " for letter in subject).split()
    line = " ".join(words)
    return line if len(line) <= LONGEST_SUBJECT else line[: LONGEST_SUBJECT - 1] + "…"
