"""The console's pages of people, blueprints and machines: who sees what, and buttons that call services."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditLog
from blueprints.models import Blueprint
from forge.accounts import searching
from forge.accounts.models import ApiToken, Membership, Project, Team, User
from forge.db import scope
from forge.db.locks import statement_timeout
from forge.operations.models import Operation
from tests import factories
from workspaces.admin import search
from workspaces.models import (
    Attestation,
    Decision,
    Finding,
    LifecyclePolicy,
    ProviderAccount,
    RegionLatency,
    RegionPolicy,
    WorkSpace,
)

pytestmark = pytest.mark.django_db
LISTS = [
    "accounts/organization",
    "accounts/user",
    "accounts/team",
    "accounts/project",
    "accounts/membership",
    "accounts/apitoken",
    "blueprints/blueprint",
    "blueprints/blueprintbundle",
    "workspaces/workspace",
    "workspaces/statechange",
    "workspaces/provideraccount",
    "workspaces/finding",
    "workspaces/attestation",
    "workspaces/lifecyclepolicy",
    "workspaces/decision",
    "workspaces/regionlatency",
    "workspaces/regionpolicy",
    "workspaces/applicationstack",
]


@pytest.fixture(autouse=True)
def no_collected_static_files(settings):
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if not path.startswith("whitenoise")]


@pytest.fixture
def organization():
    return factories.OrganizationFactory()


@pytest.fixture
def team(organization):
    return factories.TeamFactory(organization=organization)


@pytest.fixture
def sign_in(organization, team):
    def make(role):
        if role is None:
            user = factories.UserFactory(organization=None, directory_username="")
        else:
            where = team if role == "team_lead" else None
            user = factories.MembershipFactory(user__organization=organization, role=role, team=where).user
        browser = Client()
        browser.force_login(user)
        browser.user = user
        return browser

    return make


@pytest.fixture
def machine(organization, team):
    return factories.WorkSpaceFactory(organization=organization, team=team, name="forge-1")


def token_of(user, name="laptop", prefix="abcdefghjkmn"):
    return ApiToken.objects.create(
        organization=user.organization, user=user, name=name, prefix=prefix, secret_hash=b"x" * 32
    )


def page(row, end="change/"):
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{end}"


def said(answer):
    return [str(message) for message in answer.context["messages"]]


def press(browser, row, button, **fields):
    return said(browser.post(page(row, f"do/{button}/"), fields, follow=True))


@pytest.mark.parametrize("address", LISTS)
def test_every_list_and_detail_shows_the_own_organization_only_without_a_count(sign_in, organization, machine, address):
    ours, theirs = machine, factories.WorkSpaceFactory()
    for one in (ours, theirs):
        factories.MembershipFactory(user=one.owner, team=one.team)
        factories.ProjectFactory(organization=one.organization)
        LifecyclePolicy.objects.create(organization=one.organization, idle_minutes=60)
        RegionLatency.objects.create(organization=one.organization, place="bonn", region="eu-west-1", source="a test")
        RegionPolicy.objects.create(organization=one.organization, team=one.team)
        made = {"rule": "idle", "outcome": "warned", "inputs": {}, "correlation_id": one.pk}
        Decision.objects.create(organization=one.organization, workspace=one, decided_at=one.state_since, **made)
        Finding.objects.create(
            organization=one.organization,
            provider_account=one.provider_account,
            workspace=one,
            subject=one.provider_id,
            check_name="protocol",
            severity="HIGH",
            found_at=one.state_since,
        )
        Attestation.objects.create(
            organization=one.organization,
            provider_account=one.provider_account,
            directory_id=one.directory_id,
            control="usb",
            attested_by=one.owner,
            attested_at=one.state_since,
            valid_until=one.state_since + timedelta(days=9),
            note="a test",
        )
        factories.ApplicationStackFactory(organization=one.organization, provider_account=one.provider_account)
        token_of(one.owner, prefix=one.owner.directory_username.replace("person", "abcdefgh").ljust(12, "k")[:12])
    browser = sign_in("admin")
    with CaptureQueriesContext(connection) as queries:
        html = browser.get(f"/admin/{address}/").content.decode()
    rows = set(re.findall(rf"/admin/{address}/([0-9a-f-]+)/change/", html))
    model = {f"{m._meta.app_label}/{m._meta.model_name}": m for m in _models()}[address]
    own = {"organization": organization} if address != "accounts/organization" else {"pk": organization.pk}
    assert rows == {str(pk) for pk in model.objects.filter(**own).values_list("pk", flat=True)}
    assert rows
    table = f'FROM "{model._meta.db_table}"'
    assert not [query["sql"] for query in queries if "COUNT(" in query["sql"] and table in query["sql"]]
    for pk in rows:
        answer = browser.get(f"/admin/{address}/{pk}/change/")
        assert answer.status_code == 200
        assert 'name="_save"' not in answer.content.decode()
    assert browser.get(f"/admin/{address}/", {"q": "x"}).status_code == 200
    assert browser.get(f"/admin/{address}/{rows.pop()}/delete/").status_code == 403
    assert browser.post(f"/admin/{address}/", {"action": "delete_selected"}).status_code == 405


def _models():
    from django.contrib import admin  # noqa: PLC0415 - the registry is full only once urls are loaded

    return list(admin.site._registry)


@pytest.mark.parametrize("role", ["finance", "auditor", "team_lead", None])
def test_those_who_oversee_look_at_machines_and_the_page_offers_no_change(sign_in, machine, role):
    browser = sign_in(role)
    html = browser.get(page(machine)).content.decode()
    assert "forge-1" in html
    assert ("/do/terminate/" in html) == (role == "team_lead")
    assert browser.post(page(machine), {"name": "changed"}).status_code == 403


def test_secrets_are_on_no_page(sign_in, machine):
    token = token_of(machine.owner)
    browser = sign_in("admin")
    for row in (token, machine.owner):
        html = browser.get(page(row)).content.decode()
        assert "secret_hash" not in html
        assert "pbkdf2" not in html


# -- machines ----------------------------------------------------------------------------------------------------
def test_buttons_of_a_machine_stand_where_its_state_allows_them(sign_in, machine):
    browser = sign_in("admin")

    def offered():
        return set(re.findall(r"/do/([a-z-]+)/", browser.get(page(machine)).content.decode()))

    always = {"connect", "keep-alive", "extend", "terminate", "modify", "tag", "move", "rebuild", "restore"}
    assert offered() == always | {"stop", "reboot", "lease"}
    WorkSpace.objects.update(running_mode="ALWAYS_ON", keep_alive=True)
    assert offered() == always | {"let-go", "reboot"}
    WorkSpace.objects.update(running_mode="AUTO_STOP", keep_alive=False, state="STOPPED")
    assert offered() == always | {"start", "lease"}
    WorkSpace.objects.update(state="TERMINATED", terminated_at=machine.state_since)
    assert offered() == set()


def test_the_way_into_a_machine_is_shown_and_told_of(sign_in, machine):
    WorkSpace.objects.update(connection_url="https://clients.example.com/webclient#registrationCode=SLiad+ABC123")
    browser = sign_in("admin")
    assert "the audit log says so" in browser.get(page(machine, "do/connect/")).content.decode()
    [message] = press(browser, machine, "connect")
    assert "Registration code SLiad+ABC123" in message
    entry = AuditLog.objects.get(action_type="WORKSPACE_CONNECT")
    assert (entry.interface, entry.context["is_own"]) == ("ADMIN", False)
    assert "SLiad" not in entry.content


def test_stop_is_queued_by_the_service_with_one_entry_of_the_console(sign_in, machine):
    browser = sign_in("admin")
    assert "is cut off" in browser.get(page(machine, "do/stop/")).content.decode()
    assert not Operation.objects.exists()
    [message] = press(browser, machine, "stop")
    operation = Operation.objects.get()
    assert message.startswith("It stops. <a ")
    assert browser.get(re.search(r'href="([^"]+)"', message)[1]).context["original"] == operation
    entry = AuditLog.objects.get(action_type="WORKSPACE_STOP")
    assert (entry.interface, entry.user_id, entry.result) == ("ADMIN", browser.user.pk, "SUCCESS")
    [message] = press(browser, machine, "stop")
    assert "is not finished" in message
    assert Operation.objects.count() == 1


def test_the_console_offers_another_try_only_where_one_is_possible(sign_in, machine):
    browser = sign_in("admin")
    press(browser, machine, "stop")
    operation = Operation.objects.get()

    def offered(**facts):
        Operation.objects.update(error={"code": "x", "detail": "x", "at": "now", "attempt": 1}, **facts)
        return set(re.findall(r"/do/([a-z-]+)/", browser.get(page(operation)).content.decode()))

    assert offered() == {"cancel"}
    assert offered(status="unknown", cancellable=False) == {"retry"}
    assert offered(status="failed", next_attempt_at=None, finished_at=operation.created_at) == set()


def test_terminate_wants_the_machines_name(sign_in, machine):
    browser = sign_in("team_lead")
    assert "lost for good" in browser.get(page(machine, "do/terminate/")).content.decode()
    browser.post(page(machine, "do/terminate/"), {"typed_confirmation": "forge-2"})
    assert not Operation.objects.exists()
    press(browser, machine, "terminate", typed_confirmation="forge-1")
    assert Operation.objects.get().kind == "workspace.terminate"


def test_a_machine_is_kept_alive_for_days_with_a_reason_and_let_go(sign_in, machine):
    browser = sign_in("admin")
    asked = browser.post(page(machine, "do/keep-alive/"), {"days": "0", "reason": "x"})
    costs = "Kept, it costs 9.75 USD a month even if nobody starts it, and 0.30 for each started hour (estimated"
    assert (asked.status_code, costs in asked.content.decode()) == (200, True)
    assert costs in browser.get(page(machine)).content.decode()
    assert press(browser, machine, "keep-alive", days="5", reason="long build")[0].startswith("Kept alive until")
    machine.refresh_from_db()
    assert (machine.keep_alive, machine.keep_alive_reason) == (True, "long build")
    assert "forge-1" in browser.get("/admin/workspaces/workspace/?kept=yes").content.decode()
    assert "forge-1" not in browser.get("/admin/workspaces/workspace/?kept=no").content.decode()
    assert press(browser, machine, "let-go") == ["No longer kept alive."]
    machine.refresh_from_db()
    assert machine.keep_alive is False


# -- people ------------------------------------------------------------------------------------------------------
def test_an_admin_adds_a_team_a_project_and_a_person_by_forms(sign_in, organization):
    browser = sign_in("admin")
    browser.post("/admin/accounts/team/add/", {"name": "Red", "slug": "red"})
    red = Team.objects.get(slug="red")
    browser.post(
        "/admin/accounts/project/add/",
        {"name": "Apollo", "slug": "apollo", "cost_center": "r-1", "owner": "", "teams": [str(red.pk)]},
    )
    assert list(Project.objects.get(slug="apollo").teams.all()) == [red]
    person = {"email": "New@example.com", "full_name": "New", "role": "engineer", "team": str(red.pk)}
    browser.post("/admin/accounts/membership/add/", person | {"directory_username": "new"})
    made = Membership.objects.get(team=red)
    assert (made.user.email, made.user.organization, made.role) == ("New@example.com", organization, "engineer")
    browser.post("/admin/accounts/membership/add/", person | {"email": "new@EXAMPLE.com", "role": "team_lead"})
    made.refresh_from_db()
    assert made.role == "team_lead"
    actions = AuditLog.objects.exclude(action_type="AUTH_LOGIN").order_by("id").values_list("action_type", flat=True)
    assert list(actions) == ["TEAM_CREATE", "PROJECT_CREATE", "MEMBER_CREATE", "ROLE_CHANGE"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"role": "contractor"}, "Set credentials_expire_at"),
        ({"team": ""}, "Name the team"),
        ({"role": "finance"}, "Leave the team out"),
        ({"full_name": ""}, "Give the name of somebody new"),
    ],
)
def test_a_refused_form_says_why_and_writes_nothing(sign_in, team, changes, words):
    person = {"email": "new@example.com", "full_name": "New", "role": "engineer", "team": str(team.pk)}
    answer = sign_in("admin").post("/admin/accounts/membership/add/", person | changes)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not User.objects.filter(email="new@example.com").exists()


def test_a_lead_gives_and_takes_roles_in_the_own_team_only(sign_in, organization, team):
    lead, other = sign_in("team_lead"), factories.TeamFactory(organization=organization)
    person = {"email": "new@example.com", "full_name": "New", "role": "engineer"}
    lead.post("/admin/accounts/membership/add/", person | {"team": str(other.pk)})
    assert not User.objects.filter(email="new@example.com").exists()
    answer = lead.post("/admin/accounts/membership/add/", person | {"team": str(team.pk), "role": "team_lead"})
    assert "gives the roles contractor and engineer" in answer.content.decode()
    lead.post("/admin/accounts/membership/add/", person | {"team": str(team.pk)})
    made = Membership.objects.get(user__email="new@example.com")
    lead.post(page(made, "do/take-away/"))
    assert not Membership.objects.filter(pk=made.pk).exists()
    own = Membership.objects.get(user=lead.user)
    assert "/do/take-away/" not in lead.get(page(own)).content.decode()


def test_operators_of_the_installation_add_organizations_and_nothing_inside_one(sign_in):
    operator = sign_in(None)
    operator.post(
        "/admin/accounts/organization/add/", {"name": "New", "slug": "new", "timezone": "UTC", "currency": "EUR"}
    )
    assert AuditLog.objects.exclude(action_type="AUTH_LOGIN").get().action_type == "ORGANIZATION_CREATE"
    for kind in ("accounts/team", "accounts/project", "accounts/membership", "workspaces/provideraccount"):
        assert operator.get(f"/admin/{kind}/add/").status_code == 403, kind
    answer = operator.post(
        "/admin/accounts/organization/add/", {"name": "X", "slug": "x", "timezone": "Mars/Olympus", "currency": "EUR"}
    )
    assert "is not known" in answer.content.decode()
    assert sign_in("admin").get("/admin/accounts/organization/add/").status_code == 403


def test_a_person_is_switched_off_and_on(sign_in, machine):
    browser, person = sign_in("admin"), machine.owner
    press(browser, person, "switch-off", typed_confirmation=person.email)
    person.refresh_from_db()
    assert person.is_active is False
    press(browser, person, "switch-on")
    person.refresh_from_db()
    assert person.is_active is True


def test_the_last_admin_is_not_switched_off(sign_in):
    browser = sign_in("admin")
    [message] = press(browser, browser.user, "switch-off", typed_confirmation=browser.user.email)
    assert "Make somebody else an admin first" in message
    browser.user.refresh_from_db()
    assert browser.user.is_active


def test_a_token_is_issued_once_shown_and_revoked(sign_in, machine):
    browser = sign_in("admin")
    form = {"name": "ci", "interface": "CLI", "days": "30"}
    shown = browser.post(page(machine.owner, "do/issue-token/"), form).content.decode()
    token = ApiToken.objects.get()
    assert f"forge_{token.prefix}_" in shown
    assert token.expires_at is not None
    assert "/do/revoke/" not in sign_in("auditor").get(page(token)).content.decode()
    assert press(browser, token, "revoke") == ["The token works no more."]
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert "/do/revoke/" not in browser.get(page(token)).content.decode()


# -- blueprints and places -----------------------------------------------------------------------------------------
def test_a_blueprint_is_drafted_published_and_retired(sign_in, team):
    browser = sign_in("team_lead")
    draft = {
        "team": str(team.pk),
        "name": "desktop",
        "description": "",
        "operating_system": "LINUX",
        "software_manifest": "{}",
        "configuration": "{}",
        "bundles": "us-east-1 STANDARD wsb-123456789 wsi-123456789\n\nus-east-1 POWER wsb-987654321",
    }
    assert "is not: region" in _add(browser, draft | {"bundles": "us-east-1"})
    assert "is not one of" in _add(browser, draft | {"bundles": "us-east-1 HUGE wsb-123456789"})
    assert "needs one of the roles" in _add(browser, draft | {"team": ""})
    _add(browser, draft)
    blueprint = Blueprint.objects.get()
    assert (blueprint.version, blueprint.status, blueprint.bundles.count()) == (1, "DRAFT", 2)
    press(browser, blueprint, "publish")
    blueprint.refresh_from_db()
    assert blueprint.status == "PUBLISHED"
    assert "0 machines made from it go on" in browser.get(page(blueprint, "do/retire/")).content.decode()
    press(browser, blueprint, "retire", typed_confirmation="desktop v1")
    blueprint.refresh_from_db()
    assert blueprint.status == "RETIRED"
    assert "/do/" not in browser.get(page(blueprint)).content.decode()


def _add(browser, fields):
    return browser.post("/admin/blueprints/blueprint/add/", fields).content.decode()


def test_a_provider_account_is_opened_and_closed(sign_in, organization):
    browser = sign_in("admin")
    place = {
        "name": "frankfurt",
        "kind": "AWS",
        "account": "123456789012",
        "region": "eu-central-1",
        "directory_id": "d-9067000000",
        "subnets": "subnet-0123456789abcdef0",
        "role_arn": "",
        "services": ["WORKSPACES_PERSONAL", "WORKSPACES_APPLICATIONS"],
    }
    answer = browser.post("/admin/workspaces/provideraccount/add/", place | {"account": "1"})
    assert "Not of the form that AWS uses" in answer.content.decode()
    role = {"role_arn": "arn:aws:iam::210987654321:role/forge"}
    answer = browser.post("/admin/workspaces/provideraccount/add/", place | role)
    assert "role_arn is a role of account 210987654321" in answer.content.decode()
    browser.post("/admin/workspaces/provideraccount/add/", place)
    account = ProviderAccount.objects.get()
    assert (account.organization, account.subnets) == (organization, ["subnet-0123456789abcdef0"])
    press(browser, account, "switch-off")
    account.refresh_from_db()
    assert account.enabled is False
    press(browser, account, "switch-on")
    press(browser, account, "services", services=["WORKSPACES_APPLICATIONS"])
    account.refresh_from_db()
    assert (account.enabled, account.services) == (True, ["WORKSPACES_APPLICATIONS"])


def searched(browser, words):
    return [row.pk for row in browser.get("/admin/workspaces/workspace/", {"q": words}).context["cl"].result_list]


def test_a_machine_is_searched_by_ids_names_and_people_of_the_own_organization(organization, team, sign_in):
    owner = factories.UserFactory(organization=organization, full_name="Ada Arroway", directory_username="ada.arroway")
    colleague = factories.UserFactory(organization=organization)
    here = {"organization": organization, "team": team}
    machine = factories.WorkSpaceFactory(**here, owner=owner, name="ada.arroway-1a2b3c", provider_id="ws-0a1b2c3d4")
    other = factories.WorkSpaceFactory(**here, owner=colleague, name="build box")
    factories.WorkSpaceFactory(name="build box")
    browser = sign_in("admin")
    for words in (machine.pk, machine.provider_id, machine.name, owner.email.upper(), "arroway", "Ada A"):
        assert searched(browser, str(words)) == [machine.pk], words
    assert searched(browser, "build") == [other.pk]
    assert searched(browser, "nobody-at-all") == []


def test_what_begins_with_the_words_goes_before_what_only_has_them(organization, team, sign_in):
    here = {"organization": organization, "team": team}
    box = factories.WorkSpaceFactory(**here, name="build box")
    old = factories.WorkSpaceFactory(**here, name="old build box")
    browser = sign_in("admin")
    assert searched(browser, "BUILD") == [box.pk]
    assert set(searched(browser, "uild")) == {box.pk, old.pk}


def test_a_person_with_a_machine_is_found_behind_any_number_without(organization, team, sign_in, monkeypatch):
    monkeypatch.setattr(search, "MOST_PEOPLE", 3)
    monkeypatch.setattr(searching, "MOST", 3)
    for nr in range(5):
        factories.UserFactory(organization=organization, full_name=f"Smith A{nr}", email=f"smith-{nr}@example.com")
    last = factories.UserFactory(organization=organization, full_name="Smith Z", email="smith-z@example.com")
    machine = factories.WorkSpaceFactory(organization=organization, team=team, owner=last)
    token = token_of(last)
    browser = sign_in("admin")
    assert searched(browser, "smith") == [machine.pk]
    assert searched(browser, "mith") == [machine.pk], "as much where the words stand in the middle"
    tokens = browser.get("/admin/accounts/apitoken/", {"q": "smith"}).context["cl"].result_list
    assert [row.pk for row in tokens] == [token.pk]


@pytest.mark.parametrize("words", ["%", "_", "\\", "a%b", "' OR 1=1", "é", "\U0010ffff", "ws-", "x" * 500])
def test_any_words_may_be_searched_for(machine, sign_in, words):
    assert searched(sign_in("admin"), words) == []


@pytest.mark.parametrize("role", ["team_lead", "admin"])
def test_a_filter_by_what_one_may_not_see_finds_nothing(role, organization, team, machine, sign_in):
    """Where a filter has one choice alone it is not shown; it filters all the same."""
    others = [factories.TeamFactory(), *([factories.TeamFactory(organization=organization)] * (role == "team_lead"))]
    blueprint = factories.BlueprintFactory(organization=organization, team=team)
    browser = sign_in(role)
    for kind, row in (("workspaces/workspace", machine), ("blueprints/blueprint", blueprint)):
        for other in (*others, team):
            answer = browser.get(f"/admin/{kind}/", {"team__id__exact": str(other.pk)})
            found = [one.pk for one in answer.context["cl"].result_list]
            assert found == ([row.pk] if other == team else []), (kind, other)
    people = browser.get("/admin/accounts/user/", {"organization__id__exact": str(others[0].organization_id)})
    assert list(people.context["cl"].result_list) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("workspaces/workspace", "kept"),
        ("workspaces/workspace", "quarantine"),
        ("operations/operation", "open"),
        ("operations/operation", "kind"),
    ],
)
def test_a_filter_by_a_word_that_is_no_choice_finds_nothing(kind, name, machine, sign_in):
    Operation.objects.create(
        organization_id=machine.organization_id,
        correlation_id=machine.pk,
        kind="workspace.start",
        target_type="WorkSpace",
        target_id=machine.pk,
        status="succeeded",
        finished_at=timezone.now(),
    )
    WorkSpace.objects.update(quarantined_at=timezone.now())
    browser = sign_in("admin")
    assert len(browser.get(f"/admin/{kind}/").context["cl"].result_list) == 1
    assert list(browser.get(f"/admin/{kind}/", {name: "maybe"}).context["cl"].result_list) == []


def test_words_that_begin_nothing_are_not_looked_for_for_long(organization, team, sign_in, monkeypatch):
    machine = factories.WorkSpaceFactory(organization=organization, team=team, name="build box")
    browser, asked = sign_in("admin"), []
    monkeypatch.setattr(searching, "statement_timeout", asked.append)
    assert searched(browser, "box") == [machine.pk]
    assert asked == [searching.LONGEST, search.LONGEST]

    def out_of_time(seconds):
        statement_timeout(0.001)
        connection.cursor().execute("SELECT pg_sleep(1)")

    monkeypatch.setattr(searching, "statement_timeout", out_of_time)
    assert searched(browser, "box") == []
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
@pytest.mark.parametrize("whole", [True, False], ids=["operator", "admin"])
def test_an_index_answers_each_search_under_row_level_security(organization, team, sign_in, whole):
    """As the application's role and in the scope of whoever asks, with sequential scans as dear as they ever get."""
    for nr in range(50):
        factories.WorkSpaceFactory(organization=organization, team=team, name=f"box-{nr}", provider_id=f"ws-{nr:09}")
    factories.UserFactory(organization=organization, email="zebra@example.com")
    browser = sign_in(None if whole else "admin")
    with connections["owner"].cursor() as cursor:  # or it is chance which index the planner takes for the better one
        cursor.execute("ANALYZE workspaces_workspace, accounts_user")
    # In few rows of one organization any index will do for an id; where there is no organization, none but its own.
    for words in ("box-4", "zebra", *(["ws-000000007"] if whole else [])):
        with CaptureQueriesContext(connection) as queries:
            browser.get("/admin/workspaces/workspace/", {"q": words})
        found = [one["sql"] for one in queries if re.search("search_|provider_id\" = '", one["sql"].split("WHERE")[-1])]
        assert found
        with scope.system() if whole else scope.organization(organization.pk):
            for sql in found:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SET LOCAL enable_seqscan = off")
                    cursor.execute(f"EXPLAIN (COSTS OFF) {sql}")
                    plan = "\n".join(line for (line,) in cursor.fetchall())
                assert re.search(r"Index Cond: .*(search_\w+|provider_id)\)?(::text)? (>=|=)", plan), plan


def test_a_persons_rows_are_found_by_how_the_persons_name_begins(organization, sign_in):
    ada = factories.UserFactory(organization=organization, full_name="Ada van Arroway", directory_username="ada1")
    role = factories.MembershipFactory(user=ada, team=factories.TeamFactory(organization=organization))
    factories.MembershipFactory(user__full_name="Ada Stranger")
    token = token_of(ada)
    browser = sign_in("admin")
    for words in ("ada van", "ARRO", ada.email[:12], "ada1"):
        for address, row in (("user", ada), ("membership", role), ("apitoken", token)):
            shown = browser.get(f"/admin/accounts/{address}/", {"q": words}).context["cl"].result_list
            assert [one.pk for one in shown] == [row.pk], (words, address)
    shown = browser.get("/admin/accounts/apitoken/", {"q": token.prefix}).context["cl"].result_list
    assert [one.pk for one in shown] == [token.pk]
