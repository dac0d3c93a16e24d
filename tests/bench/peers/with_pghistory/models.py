"""A machine whose changes are tracked; what an event has no column for is the context's metadata."""

import pghistory

from tests.bench.peers.machine import AbstractMachine


@pghistory.track()
class Machine(AbstractMachine):
    pass
