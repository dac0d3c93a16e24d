"""Whatever people write into names and cost centers, the tags of their machines are such as the simulator takes."""

from __future__ import annotations

import uuid
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workspaces.simulator.errors import AwsError
from workspaces.simulator.tags import check_tags
from workspaces.tagging.wanted import LONGEST_VALUE, TagsRefused, check_own, wanted_of


def named(text: str) -> SimpleNamespace:
    """A machine whose project's cost center and whose blueprint are called so."""
    house = SimpleNamespace(slug="robco")
    return SimpleNamespace(
        id=uuid.uuid4(),
        organization=house,
        team=house,
        project=SimpleNamespace(slug="apollo", cost_center=text),
        blueprint=SimpleNamespace(name=text, version=1),
        owner_id=uuid.uuid4(),
        tags={},
    )


def taken(tags: dict[str, str]) -> dict[str, str]:
    return check_tags([{"Key": key, "Value": value} for key, value in tags.items()], already={})


@given(text=st.text(max_size=300))
@example(text=" AWS:lab")
@example(text="R&D, Größe (7½ m²)\t")
@example(text="x" * 254 + " y")
@example(text="x" * 99 + " y")
@example(text="\u00a0aws:\u0301")
def test_every_cost_center_and_name_becomes_a_value_that_is_taken(text):
    tags = wanted_of(named(text))
    assert taken(tags) == tags
    assert max(map(len, tags.values())) <= LONGEST_VALUE


@given(key=st.text(max_size=130), value=st.text(max_size=260))
@example(key="Größe", value="42 m/s @ 7+1=8_.-:")
@example(key="a#b", value="")
@example(key="a", value=" b")
@example(key="a", value="Aws:b")
@example(key="Aws:a", value="")
@example(key="a\n", value="a\n")
def test_the_simulator_takes_what_people_may_give_and_refuses_what_forge_refuses_of_its_letters(key, value):
    """Lengths are checked before, by the form of the request; keys of Forge's own are taken."""
    try:
        check_own({key: value})
    except TagsRefused:
        is_short = 1 <= len(key) <= 127 and len(value) <= LONGEST_VALUE
        if is_short and not key.lower().startswith("forge:"):
            with pytest.raises(AwsError):
                taken({key: value})
    else:
        assert taken({key: value}) == {key: value}
