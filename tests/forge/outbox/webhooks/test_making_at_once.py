"""Webhooks that are made at the same moment: the limit holds."""

import pytest

from forge.outbox.models import Webhook
from forge.outbox.webhooks import services
from tests import world as worlds
from tests.budgets.threads import outcome, together
from tests.forge.outbox.support import NOW
from tests.forge.outbox.webhooks.support import webhook
from tests.world import actor

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def test_of_many_at_once_the_last_free_place_goes_to_one():
    world, other = worlds.build(), worlds.build()
    for one in (world, other):
        for number in range(services.MOST_WEBHOOKS - 1):
            webhook(organization_id=one.organization.id, name=f"w{number}")

    def make(one):
        services.create(
            actor=actor(one.admin),
            organization_id=one.organization.id,
            name="one more",
            url="https://hooks.example.com/in",
            now=NOW,
        )

    made = together(outcome(services.TooManyWebhooks, make), [world, other] * 8)
    assert sum(made) == 2
    for one in (world, other):
        assert Webhook.objects.filter(organization_id=one.organization.id).count() == services.MOST_WEBHOOKS
