"""The audit insert made to fail: over every changing address and service, nothing at all is changed, and it is said."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone
from psycopg import sql

from audit.models import AuditLog
from audit.services import AuditUnavailable
from blueprints import services as blueprints
from budgets import services as budgets
from costs import services as prices
from forge.accounts import services as accounts
from forge.accounts import token_services
from forge.console import switches
from tests import world as worlds
from tests.audit.faults import FAULTS, broken
from tests.audit.test_capture_api import address as api_address
from tests.audit.test_capture_console import address as console_address
from tests.audit.walk import api, console, rows
from tests.audit.walk.marks import browser, client_of
from workspaces import providers
from workspaces import services as machines

pytestmark = [
    pytest.mark.soak,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("listed_machines_stand"),
]


def _services(world):
    """Calls of services, as jobs and other rooms make them; each would succeed."""
    now, engineer, finance = timezone.now(), worlds.actor(world.engineer), worlds.actor(world.finance)
    command, organization = rows.COMMAND, world.organization
    stopped, running, token, drafted = rows.stopped(world), rows.machine(world), rows.token(world), rows.draft(world)
    place = {"account": "123456789012", "region": "eu-west-1", "directory_id": f"d-{world.team.id.hex[-10:]}"}
    terms = rows.price_terms(world)
    period = {"period_start": rows.hour(), "period_end": rows.hour(ahead=99)}
    team = {"scope": "TEAM", "scope_id": world.team.id}
    return {
        "create_team": lambda: accounts.create_team(actor=command, organization=organization, slug="s", name="S"),
        "create_member": lambda: accounts.create_member(
            actor=command, organization=organization, email="s@example.com", full_name="S", role="admin", now=now
        ),
        "set_active": lambda: accounts.set_active(actor=command, user=world.lead, is_active=False),
        "issue_token": lambda: token_services.issue_token(actor=engineer, user=world.engineer, name="s", now=now),
        "revoke_token": lambda: token_services.revoke_token(actor=engineer, token=token, now=now),
        "draft": lambda: blueprints.draft(
            actor=command, organization=organization, team=world.team, name="s", operating_system="LINUX", bundles=()
        ),
        "revise": lambda: blueprints.revise(actor=command, blueprint=drafted, description="s"),
        "launch": lambda: machines.launch(actor=engineer, spec=world.spec(), now=now),
        "start": lambda: machines.start(actor=engineer, workspace_id=stopped.pk, now=now),
        "stop": lambda: machines.stop(actor=engineer, workspace_id=running.pk, now=now),
        "register_provider_account": lambda: providers.register_provider_account(
            actor=command, organization=organization, name="s", kind="SIMULATOR", **place
        ),
        "set_price": lambda: prices.set_price(
            actor=finance, organization=organization, terms=terms, now=now, reason="s"
        ),
        "create_budget": lambda: budgets.create(
            actor=finance, organization=organization, amount=Decimal(5), now=now, **team, **period
        ),
        "set_switch": lambda: switches.set_switch(
            actor=command, job="meter_costs", is_paused=True, reason="s", now=now
        ),
    }


def _requests(share):
    """(name, ask) for every `share`-th changing address of the API and the console, each in a world of its own."""
    for (name, method), case in sorted(api.CASES.items())[::share]:
        if not case.is_read:
            world = worlds.build(expire_at=timezone.now() + timedelta(days=30))
            path = api_address(name, case.row(world) if case.row else None)
            body = {"data": case.body(world), "format": "json"} if case.body else {}
            client = client_of(getattr(world, case.by), "API")
            yield f"{method} {name}", _asking(getattr(client, method), path, **body)
    for (model, end), case in sorted(console.FORMS.items())[::share]:
        world = worlds.build()
        row = case.row(world) if case.row else None
        path = console_address(model, end, *([row.pk] if row else []))
        yield f"form {model} {end}", _asking(browser(_person(world, case.by)).post, path, data=case.fields(world))
        if row is not None:
            row.delete()  # the switch of a job is one for the whole installation
    for (model, name), case in sorted(console.BUTTONS.items())[::share]:
        world = worlds.build()
        row = case.row(world)
        path = console_address(model, "button", row.pk, name)
        yield f"button {model} {name}", _asking(browser(_person(world, case.by)).post, path, data=case.fields(row))
    world = worlds.build()
    yield (
        "own password",
        _asking(browser(world.admin).post, reverse("admin:password_change"), data=console.NEW_PASSWORD),
    )


def _person(world, role):
    return console.operator(world) if role == "operator" else getattr(world, role)


def _asking(send, path, **request):
    return lambda: send(path, **request)


@pytest.fixture
def contents(superuser_connection):
    """{table: (rows, digest of them)} of everything in the database, but for when a token was last used."""

    def read():
        tables = superuser_connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition ORDER BY relname"
        ).fetchall()
        row = "(to_jsonb(one) - 'last_used_at')::text"
        digest = f"SELECT count(*), md5(string_agg({row}, '|' ORDER BY {row})) FROM public.{{}} AS one"
        return {
            name: superuser_connection.execute(sql.SQL(digest).format(sql.Identifier(name))).fetchone()
            for (name,) in tables
        }

    return read


def test_no_change_is_committed_without_its_entry(scale, superuser, contents, record_testsuite_property):
    """Each way to fail, for every address and service in soak, every fifth address in the normal run."""
    share = scale(1, 5) if scale(100, 0) < 100 else 1
    requests, calls = list(_requests(share)), _services(worlds.build())
    attempts = 0
    before = contents()
    for fault in FAULTS:
        with broken(superuser, fault):
            for name, ask in requests:
                answer = ask()
                assert answer.status_code == 503, (fault, name, answer.status_code, answer.content)
                assert b"audit" in answer.content, (fault, name)
                assert answer["Retry-After"]
                attempts += 1
            for call in calls.values():
                with pytest.raises(AuditUnavailable):
                    call()
                attempts += 1
        assert contents() == before, fault
    record_testsuite_property("no_entry_no_change", {"attempts": attempts, "ways": len(FAULTS)})
    assert attempts >= (200 if share == 1 else 100)

    for name, ask in requests:
        known = AuditLog.objects.count()
        assert ask().status_code in (200, 201, 202, 204, 302), name
        assert AuditLog.objects.count() > known, name
    for name, call in calls.items():
        known = AuditLog.objects.count()
        call()
        assert AuditLog.objects.count() > known, name
