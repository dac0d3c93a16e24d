"""A machine as it is; its service records what changed."""

from tests.bench.peers.machine import AbstractMachine


class Machine(AbstractMachine):
    pass
