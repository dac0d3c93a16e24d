"""Signatures as the reference implementation of Standard Webhooks verifies them."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from forge.outbox.webhooks import signing

BODY = '{"type":"budget.mark","data":{"n":"Ä"}}'.encode()


def sign(*secrets, at=None, event_id="0193"):
    return signing.headers(event_id=event_id, at=at or datetime.now(UTC), body=BODY, secrets=secrets)


def test_each_valid_secret_verifies_and_no_other():
    new, former, other = (signing.new_secret() for _ in range(3))
    headers = sign(new, former)
    for secret in (new, former):
        assert Webhook(signing.text_of(secret)).verify(BODY, headers)["type"] == "budget.mark"
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.text_of(other)).verify(BODY, headers)


def test_what_is_changed_or_old_does_not_verify():
    secret = signing.new_secret()
    verifier = Webhook(signing.text_of(secret))
    for body, headers in (
        (BODY + b" ", sign(secret)),
        (BODY, sign(secret) | {"webhook-id": "0194"}),
        (BODY, sign(secret) | {"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) - 1)}),
        (BODY, sign(secret, at=datetime.now(UTC) - timedelta(minutes=6))),
    ):
        with pytest.raises(WebhookVerificationError):
            verifier.verify(body, headers)


def test_the_signature_of_a_known_message():
    """The example of the specification of Standard Webhooks."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signing.headers(
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", at=at, body=b'{"test": 2432232314}', secrets=[secret]
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
