"""Which cases of a long catalogue are tried: all of them, or with `--share` a share that is the same each time.

`make test` takes the share, so that it ends while one still waits for it; `FORGE_WHOLE=1 make test`, `make coverage`,
CI and whoever names a file to pytest take all. That a catalogue is complete is asked for in either case.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

Case = TypeVar("Case")
Share = Callable[..., list[Case]]


def taken(cases: Sequence[Case], every: int, turn: int = 0) -> list[Case]:
    """Every so many of the cases, beginning with the one whose turn it is; at least one."""
    return list(cases[turn % min(every, len(cases)) :: every]) if cases else []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", action="store_true", help="of long catalogues try a share of the cases (make test)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects, of each test marked `catalogue(every)`, what is not its share, and what is marked `whole`."""
    if not config.getoption("share"):
        return
    numbers: Counter[str] = Counter()
    others = []
    for item in items:
        mark = item.get_closest_marker("catalogue")
        if mark is not None:
            test = item.nodeid.partition("[")[0]
            if numbers[test] % mark.args[0]:
                others.append(item)
            numbers[test] += 1
        elif item.get_closest_marker("whole") is not None:
            others.append(item)
    if others:
        left = {id(item) for item in others}
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if id(item) not in left]


@pytest.fixture(scope="session")
def share(request: pytest.FixtureRequest) -> Share:
    """`share(cases, every, turn)` is `taken` with --share, and else all the cases."""
    return taken if request.config.getoption("share") else lambda cases, every, turn=0: list(cases)
