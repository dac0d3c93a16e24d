"""The alert rules, and every figure that /metrics tells."""

from __future__ import annotations

import ast
import re

import yaml

from docs.site.text import block, literal, plain, table
from forge.env import BASE_DIR
from forge.metrics.counters import processes

RULES = BASE_DIR / "ops/prometheus/forge.rules.yaml"
_READERS = ("forge/console/metrics.py", "forge/console/work_metrics.py")


def page() -> str:
    parts = ["# Alerts", "The rules of `ops/prometheus/forge.rules.yaml`; each leads to its runbook."]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        parts.append(f"## {group['name']}")
        for rule in group["rules"]:
            name = rule["alert"]
            parts += [
                f"### {name}",
                (
                    f"{literal(rule['labels']['severity'])} after {literal(rule.get('for', '0s'))}."
                    f" [Runbook](../../runbooks.md#{name.lower()})"
                ),
                block(str(rule["expr"])),
                f"> {plain(rule['annotations']['summary'])}",
            ]
    return "\n\n".join(parts) + "\n"


def metrics_page() -> str:
    rows = [(literal(name), plain(told), "web, from the database") for name, told in of_the_database().items()]
    rows += [(literal(name), plain(told), "each process") for name, told in of_processes().items()]
    return "\n\n".join(
        [
            "# Metrics",
            (
                "What `GET /metrics` tells Prometheus. [Operations](../../operations.md#metrics) says how to add"
                " them up and when to worry."
            ),
            table(("Metric", "Tells", "Counted by"), sorted(rows)) + "\n",
        ]
    )


def of_processes() -> dict[str, str]:
    ending = {"counter": "_total", "histogram": "", "gauge": ""}
    return {
        family.name + ending[family.type]: family.documentation
        for counter in processes()._names_to_collectors.values()
        for family in counter.describe()
    }


def of_the_database() -> dict[str, str]:
    """Name and help of each gauge, from the calls that make them: to make one, the database would have to be asked."""
    found = {}
    for path in _READERS:
        calls = [node for node in ast.walk(ast.parse((BASE_DIR / path).read_text())) if isinstance(node, ast.Call)]
        for call in calls:
            texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if len(texts) > 1 and re.fullmatch(r"forge_[a-z_]+", texts[0]):
                found[texts[0]] = texts[1]
    return found
