"""Alert rules and dashboard name figures that Forge tells, and each alert has a runbook whose commands run."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import promql_parser
import pytest
import yaml
from django.core.management import CommandError, call_command, get_commands
from django.utils import timezone
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from forge.db.models import JobRun
from forge.env import BASE_DIR
from forge.metrics.counters import processes
from tests.audit.support import SIGNING_KEY, leave

RULES = yaml.safe_load((BASE_DIR / "ops/prometheus/forge.rules.yaml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
DASHBOARD = json.loads((BASE_DIR / "ops/grafana/forge.json").read_text())
RUNBOOKS = (BASE_DIR / "docs/runbooks.md").read_text()
SECTIONS = {text.partition("\n")[0]: text for text in RUNBOOKS.split("\n## ")[1:]}
COMMANDS = sorted(
    {
        line
        for block in re.findall(r"```sh\n(.*?)```", RUNBOOKS, re.DOTALL)
        for line in block.splitlines()
    }
)  # fmt: skip
EXPRESSIONS = {name: rule["expr"] for name, rule in ALERTS.items()} | {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
OF_PROMETHEUS = {"up": {"job", "instance"}}
SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def selectors(expression: Any) -> Iterator[Any]:
    """Every selector of a series in a parsed expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    inner = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "vector_selector", "param")]
    for part in [*inner, *getattr(expression, "args", ())]:
        if isinstance(part, promql_parser.Expr | promql_parser.VectorSelector):
            yield from selectors(part)


def grouped(expression: Any) -> Iterator[tuple[Any, list[str]]]:
    """Every aggregation `by` labels, with those labels."""
    if isinstance(expression, promql_parser.AggregateExpr) and expression.modifier is not None:
        yield expression, list(expression.modifier.labels)
    for name in ("lhs", "rhs", "expr"):
        part = getattr(expression, name, None)
        if isinstance(part, promql_parser.Expr):
            yield from grouped(part)
    for part in getattr(expression, "args", ()):
        yield from grouped(part)


@pytest.fixture
def told(client, settings, tmp_path, transactional_db) -> dict[str, set[str]]:
    """The labels of each series that /metrics tells, by its name."""
    settings.FORGE_METRICS_TOKEN = "token"
    settings.FORGE_AUDIT_SIGNING_KEY, settings.FORGE_AUDIT_SINKS = SIGNING_KEY, [f"directory:{tmp_path}", "log:"]
    call_command("audit_seal", stdout=io.StringIO())
    call_command("audit_verify", stdout=io.StringIO())
    now = timezone.now()
    JobRun.objects.create(job="meter_costs", slot=now, started_at=now, finished_at=now, outcome="SUCCEEDED")
    text = client.get("/metrics", headers={"authorization": "Bearer token"}).content.decode()
    found = dict(OF_PROMETHEUS)
    for family in text_string_to_metric_families(text):
        labels = {label for sample in family.samples for label in sample.labels}
        found |= dict.fromkeys(names_of(family), labels)
    for counter in processes()._names_to_collectors.values():
        for family in counter.describe():
            found |= {name: {*counter._labelnames, "le"} for name in names_of(family)}
    return found | {"forge_operations_open": {"kind", "status"}}


def names_of(family: Metric) -> list[str]:
    return [family.name + ending for ending in SAMPLES[family.type]]


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_what_rules_and_dashboard_ask_for_is_told(told):
    for where, text in EXPRESSIONS.items():
        expression = promql_parser.parse(text)
        found = list(selectors(expression))
        assert found, where
        for selector in found:
            assert selector.name in told, f"{where}: {selector.name}"
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert labels <= told[selector.name], f"{where}: {selector.name}{labels}"
        for aggregate, labels in grouped(expression):
            for selector in selectors(aggregate.expr):
                assert set(labels) <= told[selector.name] | {"instance"}, f"{where}: by {labels}"


def test_every_figure_that_is_explained_is_in_a_rule_or_the_dashboard_or_needs_no_alarm():
    explained = set(re.findall(r"`?(forge_[a-z_]+)", (BASE_DIR / "docs/operations.md").read_text()))
    named = {selector.name for text in EXPRESSIONS.values() for selector in selectors(promql_parser.parse(text))}
    assert {name for name in named if name.startswith("forge_")} - {
        name + ending for name in explained for ending in ("", "_bucket", "_count", "_sum")
    } == set()


def test_an_alert_says_how_urgent_it_is_and_has_a_section_of_its_name():
    assert set(SECTIONS) == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"
        assert rule["annotations"]["summary"]
        assert "```sh" in SECTIONS[name], name
        assert "\n- " in SECTIONS[name], name


def test_the_alerts_that_were_promised_are_there():
    launch = promql_parser.parse(ALERTS["ForgeLaunchSlow"]["expr"])
    assert float(launch.rhs.val) == timedelta(minutes=5).total_seconds()
    assert float(promql_parser.parse(ALERTS["ForgeSessionConnections"]["expr"]).rhs.val) == 0.95
    watched = ALERTS["ForgeCriticalJobSilent"]["expr"]
    assert {"check_budgets", "rollover_partitions"} <= set(re.findall(r"\w+", watched))
    assert {"ForgeSealLag", "ForgeSpendLag", "ForgeJobSilent", "ForgeAwsThrottled"} <= set(ALERTS)
    assert {"ForgePricesStale", "ForgeBookFaults"} <= set(ALERTS)


def test_prometheus_keeps_the_label_job_and_reads_what_compose_starts():
    config = yaml.safe_load((BASE_DIR / "ops/prometheus/prometheus.yaml").read_text())
    assert all(scraped["honor_labels"] for scraped in config["scrape_configs"])
    assert config["rule_files"] == ["forge.rules.yaml"]


def test_panels_stand_beside_each_other_and_ask_the_chosen_source():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    sources = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())}
    assert sources == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.catalogue(3)
@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_runbooks_runs(command, settings, tmp_path):
    settings.FORGE_AUDIT_SIGNING_KEY, settings.FORGE_AUDIT_SINKS = SIGNING_KEY, [f"directory:{tmp_path}"]
    leave(1, lane=0)
    for earlier in ("audit_seal", "audit_verify"):  # or there is no checkpoint since which to verify
        call_command(earlier, stdout=io.StringIO())
    program, name, *arguments = shlex.split(command)
    assert program == "manage.py"
    assert name in get_commands(), f"there is no command {name}"
    code, said = 0, io.StringIO()
    try:
        call_command(name, *arguments, stdout=said, stderr=said)
    except SystemExit as ended:
        code = ended.code
    except CommandError as error:  # it found a fault, as it is there to do
        code = 2 if str(error).startswith("Error: ") else error.returncode
    assert code in (0, 1), said.getvalue()
