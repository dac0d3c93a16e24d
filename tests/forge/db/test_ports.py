"""Ports are called in order, and the first refusal ends the call."""

import pytest

from forge.db import ports

called: list[str] = []


def first(word: str, *, loud: bool) -> str:
    called.append("first")
    return word.upper() if loud else word


def second(word: str, *, loud: bool) -> int:
    called.append("second")
    return len(word)


def refuse(word: str, *, loud: bool) -> None:
    raise PermissionError(word)


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    called.clear()


def path(function) -> str:
    return f"{__name__}.{function.__name__}"


def test_every_port_of_the_list_is_called_in_order(settings):
    settings.FORGE_TEST_PORTS = [path(second), path(first)]
    assert ports.call_all("FORGE_TEST_PORTS", "forge", loud=True) == [5, "FORGE"]
    assert called == ["second", "first"]


def test_a_port_that_refuses_keeps_the_later_ones_from_being_called(settings):
    settings.FORGE_TEST_PORTS = [path(first), path(refuse), path(second)]
    with pytest.raises(PermissionError, match="forge"):
        ports.call_all("FORGE_TEST_PORTS", "forge", loud=True)
    assert called == ["first"]


def test_an_empty_list_of_ports_answers_nothing(settings):
    settings.FORGE_TEST_PORTS = []
    assert ports.call_all("FORGE_TEST_PORTS") == []


@pytest.mark.parametrize("wrong", ["nowhere.at_all", "forge.db.ports.missing", "nodots"])
def test_a_path_to_nothing_is_an_import_error(wrong):
    with pytest.raises(ImportError):
        ports.resolve(wrong)
