"""The main job from end to end, with the real processes: launch, pay, be limited, and prove it."""

from __future__ import annotations

import re
from decimal import Decimal

import psycopg
import pytest

from tests.e2e.demo import Browser, Demo, ended, eventually

TIMEOUT = 120


@pytest.mark.xdist_group("e2e")
def test_an_engineer_launches_a_workstation_and_it_is_paid_for_limited_and_provable(demo: Demo):
    _console_opens(demo)
    workspace_id = _launch_and_pay(demo)
    _is_refused_over_the_limit(demo)
    _stop_and_terminate(demo, workspace_id)
    _is_in_the_log(demo, workspace_id)
    _is_provable(demo)


def _console_opens(demo: Demo) -> None:
    """Signed in with a printed password, with nothing missing that the pages ask for."""
    admin = demo.user(role="admin")
    browser = Browser(demo.facts["base_url"])
    page = browser.sign_in(admin["email"], admin["password"])
    assert "Machines by state" in page
    assert "Spent this month" in page
    for place in ("workspaces/workspace", "budgets/budget", "audit/auditlog", "system"):
        assert "RobCo Forge" in browser.get(f"/admin/{place}/")
    assets = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page))
    assert any("console/favicon" in asset for asset in assets)
    for asset in assets:
        browser.get(asset)


def _launch_and_pay(demo: Demo) -> str:
    engineer = demo.api(role="engineer", team="platform", has_machine=False)
    blueprints = engineer.get("/api/v1/blueprints/?latest=true&operating_system=LINUX")["results"]
    blueprint = next(row for row in blueprints if row["name"] == "engineering-linux")
    body = {
        "service_type": "WORKSPACES_PERSONAL",
        "blueprint": blueprint["id"],
        "bundle_type": "STANDARD",
        "operating_system": "LINUX",
        "running_mode": "AUTO_STOP",
        "tags": {"cost-center": "r-100"},
    }
    quote = engineer.post("/api/v1/costs/quote/", {**body, "hours": 10})
    assert quote.status == 200, quote
    assert quote.body["currency"] == "USD"
    dry_run = engineer.post("/api/v1/workspaces/?dry_run=true", body)
    assert dry_run.status == 200, dry_run
    reservation = Decimal(dry_run.body["reservation"])
    assert reservation > 0
    assert {"limit", "spent", "reserved", "after"} <= dry_run.body["budgets"][0].keys()
    before = _team_budget(engineer)

    launched = engineer.post("/api/v1/workspaces/", body, Idempotency_Key="first")
    assert launched.status == 202, launched
    assert launched.headers["Audit-Receipt"]
    again = engineer.post("/api/v1/workspaces/", body, Idempotency_Key="first")
    assert (again.status, again.body["id"]) == (202, launched.body["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    held = _team_budget(engineer)
    # Metering may settle other machines of the team meanwhile: what is committed grew by this launch at least.
    assert _committed(held) >= _committed(before) + reservation

    operation = eventually(lambda: ended(engineer.get(launched.headers["Location"])), within_seconds=TIMEOUT)
    assert operation["status"] == "succeeded", operation
    assert operation["late"] is False
    address = f"/api/v1/workspaces/{launched.body['id']}/"
    workspace = engineer.get(address)
    assert workspace["state"] == "AVAILABLE"
    assert workspace["connection_url"]

    assert eventually(lambda: Decimal(engineer.get(address)["cost_to_date"]) > 0, within_seconds=TIMEOUT)
    paid = _team_budget(engineer)
    assert Decimal(paid["spent"]) > Decimal(held["spent"])
    assert Decimal(paid["reserved"]) < Decimal(held["reserved"])
    return launched.body["id"]


def _is_refused_over_the_limit(demo: Demo) -> None:
    engineer = demo.api(role="engineer", team="devices", has_machine=False)
    blueprints = engineer.get("/api/v1/blueprints/?latest=true&operating_system=LINUX")["results"]
    blueprint = next(row for row in blueprints if row["name"] == "firmware")
    refused = engineer.post(
        "/api/v1/workspaces/",
        {"blueprint": blueprint["id"], "bundle_type": "STANDARD", "operating_system": "LINUX"},
    )
    assert refused.status == 422, refused
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert refused.body["code"] == "budget_exceeded"
    figures = {name: Decimal(refused.body[name]) for name in ("limit", "spent", "reserved", "needed")}
    assert figures["spent"] + figures["reserved"] + figures["needed"] > figures["limit"]
    assert refused.body["period_end"]


def _stop_and_terminate(demo: Demo, workspace_id: str) -> None:
    engineer = demo.api(role="engineer", team="platform")
    for verb, state in (("stop", "STOPPED"), ("terminate", "TERMINATED")):
        accepted = engineer.post(f"/api/v1/workspaces/{workspace_id}/{verb}/")
        assert accepted.status == 202, accepted
        operation = eventually(lambda at=accepted.headers["Location"]: ended(engineer.get(at)), within_seconds=TIMEOUT)
        assert operation["status"] == "succeeded", operation
        assert engineer.get(f"/api/v1/workspaces/{workspace_id}/")["state"] == state


def _is_in_the_log(demo: Demo, workspace_id: str) -> None:
    auditor = demo.api(role="auditor")
    entries = auditor.get(f"/api/v1/audit/?resource_id={workspace_id}&page_size=100")["results"]
    actions = {entry["action_type"] for entry in entries}
    assert {"WORKSPACE_PROVISION", "WORKSPACE_STOP", "WORKSPACE_TERMINATE"} <= actions
    denied = auditor.get("/api/v1/audit/?result=DENIED&action_type=WORKSPACE_PROVISION")["results"]
    assert denied


def _is_provable(demo: Demo) -> None:
    intact = demo.manage("audit_verify")
    assert intact.returncode == 0, intact.stdout + intact.stderr
    with psycopg.connect(demo.facts["superuser_url"], autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        entry, said = superuser.execute(
            "SELECT id, action_description FROM audit_auditlog ORDER BY timestamp LIMIT 1"
        ).fetchone()
        rewrite = "UPDATE audit_auditlog SET action_description = %s WHERE id = %s"
        superuser.execute(rewrite, ["nothing happened", entry])
        tampered = demo.manage("audit_verify")
        assert tampered.returncode == 1, tampered.stdout + tampered.stderr
        assert str(entry) in tampered.stdout + tampered.stderr
        superuser.execute(rewrite, [said, entry])
    restored = demo.manage("audit_verify")
    assert restored.returncode == 0, restored.stdout + restored.stderr


def _team_budget(engineer) -> dict[str, str]:
    [budget] = engineer.get("/api/v1/budgets/?scope=TEAM&is_active=true")["results"]
    return budget


def _committed(budget: dict[str, str]) -> Decimal:
    return Decimal(budget["spent"]) + Decimal(budget["reserved"])
