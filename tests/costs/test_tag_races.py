"""A tag's past summed up while its hours are booked: every booking is in the sums once."""

from datetime import timedelta

import pytest

from costs import metering
from costs.models import TagCost, TagKey
from costs.tags import rolling
from costs.tags.services import choose_tag_key, drop_tag_key
from tests.budgets.threads import together
from tests.costs.meters import at, machine, reach
from tests.costs.test_tags import COMMAND, NOW, assert_agree, by_records, roll

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "owner"]),
    pytest.mark.usefixtures("months"),
]


@pytest.mark.soak
def test_filling_beside_metering_and_late_states_counts_every_booking_once(scale):
    for _ in range(scale(50, 1)):
        beside()


def beside():
    """Six machines with two days of a past; two meters book late states in it and new hours while two jobs sum up."""
    first = machine((0, "PENDING"), (1, "AVAILABLE"), tags={"cost-center": "r-1", "ticket": "7"})
    facts = {"organization": first.organization, "team": first.team, "blueprint": first.blueprint}
    rows = [first] + [
        machine((0, "PENDING"), (number, "AVAILABLE"), tags={"cost-center": f"r-{number % 2}"}, **facts)
        for number in range(1, 6)
    ]
    metering.meter(now=at(50))
    organization = first.organization
    for key in ("cost-center", "ticket", "dropped"):
        choose_tag_key(actor=COMMAND, organization=organization, key=key, now=NOW)
    dropped = TagKey.objects.get(organization=organization, key="dropped")

    def book(number):
        """A stop two days ago that is known only now, and ten more hours."""
        reach(rows[number], at(10 + number), "STOPPING")
        for hour in range(51, 61):
            metering.meter(now=at(hour))

    def sum_up(_):
        for _ in range(8):
            rolling.roll_up(steps=2)

    jobs = [lambda n=number: book(n) for number in range(3)] + [lambda: sum_up(0)] * 2
    jobs.append(lambda: drop_tag_key(actor=COMMAND, tag_key=dropped, now=NOW + timedelta(hours=1)))
    together(lambda job: job(), jobs)
    metering.meter(now=at(62))
    roll()
    assert by_records("cost-center", organization)
    assert_agree(organization, "cost-center", "ticket")
    assert not TagCost.objects.filter(organization=organization, key="dropped").exists()
