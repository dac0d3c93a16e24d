"""What a mail looks like: one subject line, escaped HTML, plain text that is plain, times of its reader."""

import pytest
from django.core import mail as django_mail

from forge.outbox import sending
from forge.outbox.rendering import LONGEST_SUBJECT, one_line
from tests.forge.outbox.support import NOW, owed, write

pytestmark = pytest.mark.django_db(transaction=True)


def sent(**facts):
    write(owed(facts={"subject": "It happened", "sentence": "A thing.", **facts}))
    assert sending.send(now=NOW)["sent"] == 1
    [message] = django_mail.outbox
    return message


def test_values_are_escaped_in_html_and_plain_in_text(mailoutbox):
    message = sent(sentence="<script>alert('x')</script> & co")
    assert "<script>alert('x')</script> & co" in message.body
    assert "Ann & Bob" in message.body
    [page] = message.alternatives
    assert page.mimetype == "text/html"
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; co" in page.content
    assert "<script>" not in page.content
    assert "c=<2>" not in page.content
    assert "https://example.com/a?b=1&c=<2>" in message.body


def test_times_are_told_in_the_readers_zone_by_name(mailoutbox):
    message = sent()
    assert "When: 2026-11-21 13:00 CET" in message.body
    assert "2026-11-21 13:00 CET" in message.alternatives[0].content


def test_a_subject_never_begins_a_header_of_its_own(mailoutbox):
    message = sent(subject="Forge:\r\nBcc: all@example.com\n\ttext")
    assert message.subject == "Forge: Bcc: all@example.com text"
    raw = message.message()
    assert raw["Bcc"] is None
    assert raw["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("subject", ["a\x00b", "a\u2028b", "a\x85b", "a\x1bb", " a\nb "])
def test_control_characters_become_spaces(subject):
    assert one_line(subject) == "a b"


def test_a_long_subject_is_cut():
    assert one_line("x" * 300) == "x" * (LONGEST_SUBJECT - 1) + "…"
