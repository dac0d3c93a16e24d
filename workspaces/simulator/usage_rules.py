"""Which machine follows which usage pattern: rules, of which the one declared last that fits a machine holds."""

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from workspaces.simulator.machine import Machine
from workspaces.simulator.store import Store
from workspaces.simulator.usage import Usage, read_usage, usage_of

_SELECTORS = ("account", "region", "directory_id", "workspace_id", "user_name")


class UsageRules:
    """The declared rules, which survive a restart; they also hold for machines that are made later."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules = store.usage_rules()

    def declare(self, document: Any) -> dict[str, Any]:
        """Take a rule from its JSON form: selectors, of which `user_name` may hold * and ?, and a `pattern` or null."""
        if not isinstance(document, Mapping) or "pattern" not in document:
            raise ValueError("A usage rule needs a pattern, null for none.")
        unknown = sorted(set(document) - {*_SELECTORS, "pattern"})
        if unknown:
            raise ValueError(f"A usage rule has no {', '.join(unknown)}; there are {', '.join(_SELECTORS)}, pattern.")
        if not all(isinstance(document[name], str) for name in _SELECTORS if name in document):
            raise ValueError("What a usage rule selects by is text.")
        if document["pattern"] is not None:
            read_usage(document["pattern"])
        rule = dict(document)
        self._rules.append(rule)
        self._store.save_usage_rules(self._rules)
        return rule

    def withdraw(self) -> None:
        """End all rules."""
        self._rules = []
        self._store.save_usage_rules(self._rules)

    def show(self) -> list[dict[str, Any]]:
        return list(self._rules)

    def usage_of(self, machine: Machine) -> Usage | None:
        """The pattern that holds for a machine."""
        rule = next((one for one in reversed(self._rules) if fits(one, machine)), None)
        if rule is None or rule["pattern"] is None:
            return None
        return usage_of(json.dumps(rule["pattern"], sort_keys=True))


def fits(rule: Mapping[str, Any], machine: Machine) -> bool:
    """Whether a rule is meant for a machine; user names are not case-sensitive."""
    exact = all(rule.get(name) in (None, getattr(machine, name)) for name in _SELECTORS if name != "user_name")
    return exact and fnmatchcase(machine.user_name.casefold(), rule.get("user_name", "*").casefold())
