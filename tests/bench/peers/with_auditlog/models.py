"""A machine that is registered; what a LogEntry has no column for is additional data."""

from typing import Any

from auditlog.registry import auditlog

from tests.bench.peers.facts import Facts
from tests.bench.peers.machine import AbstractMachine


class Machine(AbstractMachine):
    facts: Facts

    def get_additional_data(self) -> dict[str, Any]:
        """What auditlog asks a model for that has more to say."""
        return self.facts.of("action_type", "action_description", "result", "user_agent", "interface", "context")


auditlog.register(Machine, exclude_fields=["changed_at"])
