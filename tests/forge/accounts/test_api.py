"""me, organizations, teams, projects, members and tokens by HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.actors import Actor, Interface
from audit.models import AuditLog
from forge.accounts import services, token_services
from forge.accounts.models import ApiToken, Membership, Team, User
from forge.accounts.passwords import PasswordRefused
from forge.api.errors import NotFound
from tests import factories
from tests import world as worlds
from tests.workspaces.support import client_of, entries, problem
from tests.world import actor

pytestmark = pytest.mark.django_db
API = "/api/v1/"
ROLES = ["contractor", "engineer", "lead", "finance", "auditor", "admin"]


@pytest.fixture
def world():
    return worlds.build(expire_at=timezone.now() + timedelta(days=30))


@pytest.fixture
def operator():
    return client_of(factories.UserFactory(organization=None, directory_username=""))


def member(world, **changes):
    return {"email": "new@example.com", "full_name": "New", "role": "engineer", "team": world.team.slug} | changes


def listed(client, path, field="id"):
    return {row[field] for row in client.get(f"{API}{path}/").json()["results"]}


def test_me_says_who_one_is_and_in_which_roles(world, operator):
    me = client_of(world.lead).get(f"{API}me").json()
    assert me["organization"]["slug"] == world.organization.slug
    assert me["roles"] == [{"role": "team_lead", "team": world.team.slug}]
    assert operator.get(f"{API}me/").json()["organization"] is None


def test_an_organization_is_seen_by_its_people_and_all_by_operators(world, operator):
    other = factories.OrganizationFactory()
    assert listed(client_of(world.engineer), "organizations") == {str(world.organization.pk)}
    assert listed(operator, "organizations") >= {str(world.organization.pk), str(other.pk)}
    problem(client_of(world.admin).get(f"{API}organizations/{other.pk}/"), 404, "not_found")


@pytest.mark.parametrize("role", ROLES)
def test_only_admins_make_teams_and_projects(world, role):
    client = client_of(getattr(world, role))
    team = client.post(f"{API}teams/", {"slug": "red", "name": "Red"}, format="json")
    project = client.post(
        f"{API}projects/", {"slug": "apollo", "name": "Apollo", "teams": [world.team.slug]}, format="json"
    )
    results = [(entry.action_type, entry.result) for entry in entries(client)]
    if role == "admin":
        assert (team.status_code, project.status_code) == (201, 201), project.content
        assert results == [("TEAM_CREATE", "SUCCESS"), ("PROJECT_CREATE", "SUCCESS")]
        assert project.json()["teams"] == [world.team.slug]
        problem(client.post(f"{API}teams/", {"slug": "red", "name": "Red"}, format="json"), 409, "slug_taken")
        problem(client.post(f"{API}projects/", {"slug": "apollo", "name": "X"}, format="json"), 409, "slug_taken")
    else:
        problem(team, 403, "may_not_manage_people")
        assert project.status_code in (403, 422)
        assert [result for _, result in results] == ["DENIED", "DENIED"]
        assert not Team.objects.filter(slug="red").exists()


def test_a_project_takes_no_owner_or_team_of_others(world):
    admin, foreign = client_of(world.admin), worlds.build()
    for changes, code in (({"owner": foreign.lead.email}, "unknown_person"), ({"teams": ["nowhere"]}, "unknown_team")):
        body = {"slug": "apollo", "name": "Apollo"} | changes
        problem(admin.post(f"{API}projects/", body, format="json"), 422, code)
    common = {"actor": Actor.command("x"), "organization": world.organization, "slug": "apollo", "name": "Apollo"}
    for changes in ({"owner": foreign.lead}, {"teams": [foreign.team]}):
        with pytest.raises(NotFound):
            services.create_project(**common, **changes)


def test_me_takes_no_parameters(world):
    problem(client_of(world.engineer).get(f"{API}me/?foo=1"), 400, "unknown_parameter")


def test_a_field_that_nobody_reads_is_named_at_every_depth_and_nothing_is_done(world):
    admin = client_of(world.admin)
    misspelt = member(world, credentials_expires_at="2030-01-01T00:00:00Z", email="nobody")
    errors = problem(admin.post(f"{API}members/", misspelt, format="json"), 400, "invalid")["errors"]
    assert [(error["field"], error["code"]) for error in errors] == [
        ("credentials_expires_at", "unknown"),
        ("email", "invalid"),
    ]
    assert errors[0]["did_you_mean"] == "credentials_expire_at"
    assert errors[0]["pointer"] == "/credentials_expires_at"

    bundle = {"region": "us-east-1", "bundle_type": "STANDARD", "bundle_id": "wsb-12345678", "image": "wsi-12345678"}
    draft = {"name": "x", "operating_system": "LINUX", "bundles": [bundle], "configuration": {"any": {"thing": 1}}}
    errors = problem(admin.post(f"{API}blueprints/", draft, format="json"), 400, "invalid")["errors"]
    assert [error["pointer"] for error in errors] == ["/bundles/0/image"]

    budget = {
        "scope": "ORGANIZATION", "amount": "1", "period_start": "2030-01-01T00:00:00Z",
        "period_end": "2030-02-01T00:00:00Z", "on_limits": "STOP_IDLE",
    }  # fmt: skip
    errors = problem(admin.post(f"{API}budgets/", budget, format="json"), 400, "invalid")["errors"]
    assert [error["did_you_mean"] for error in errors] == ["on_limit"]
    assert not admin.get(f"{API}budgets/").json()["results"]
    assert [entry.result for entry in entries(admin)] == ["FAILURE"] * 3


# -- members -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("given", ["contractor", "engineer", "team_lead", "admin"])
def test_who_may_give_which_role(world, role, given):
    client = client_of(getattr(world, role))
    changes = {"role": given} | ({"team": None} if given == "admin" else {})
    if given == "contractor":
        changes["credentials_expire_at"] = (timezone.now() + timedelta(days=9)).isoformat()
    answer = client.post(f"{API}members/", member(world, **changes), format="json")
    allowed = role == "admin" or (role == "lead" and given in ("contractor", "engineer"))
    assert User.objects.filter(email="new@example.com").exists() == allowed
    [entry] = entries(client)
    if allowed:
        assert answer.status_code == 201, answer.content
        assert (entry.action_type, entry.result, entry.resource_type) == ("MEMBER_CREATE", "SUCCESS", "User")
    else:
        assert answer.status_code in (403, 422)
        assert entry.result == "DENIED"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"role": "contractor"}, 422, "contractor_needs_end"),
        ({"role": "contractor", "credentials_expire_at": "2001-01-01T00:00:00Z"}, 422, "credentials_end_in_past"),
        ({"team": None}, 422, "role_needs_team"),
        ({"role": "finance"}, 422, "role_is_organization_wide"),
        ({"team": "nowhere"}, 422, "unknown_team"),
        ({"role": "king"}, 400, "invalid"),
        ({"email": "nobody"}, 400, "invalid"),
        ({"directory_username": "a b"}, 400, "invalid"),
    ],
)
def test_what_does_not_fit_a_person_is_refused(world, changes, status, code):
    problem(client_of(world.admin).post(f"{API}members/", member(world, **changes), format="json"), status, code)
    assert not User.objects.filter(email="new@example.com").exists()


def test_an_email_and_a_directory_user_belong_to_one_person(world):
    admin, foreign = client_of(world.admin), worlds.build()
    taken = member(world, email=foreign.engineer.email.upper())
    problem(admin.post(f"{API}members/", taken, format="json"), 409, "email_taken")
    taken = member(world, directory_username=world.engineer.directory_username)
    problem(admin.post(f"{API}members/", taken, format="json"), 409, "directory_username_taken")


def test_somebody_who_is_there_gets_the_role_and_loses_it_again(world):
    admin = client_of(world.admin)
    body = member(world, email=world.engineer.email.upper(), role="team_lead")
    made = admin.post(f"{API}members/", body, format="json").json()
    assert (made["user_id"], made["role"]) == (str(world.engineer.pk), "team_lead")
    assert admin.delete(f"{API}members/{made['id']}/").status_code == 204
    assert not Membership.objects.filter(user=world.engineer).exists()
    assert [entry.action_type for entry in entries(admin)] == ["ROLE_CHANGE", "ROLE_CHANGE"]


def test_a_lead_takes_no_other_leads_role_and_nobody_the_own(world):
    colleague = factories.MembershipFactory(
        user=factories.UserFactory(organization=world.organization), team=world.team, role="team_lead"
    )
    lead, engineer = client_of(world.lead), client_of(world.engineer)
    problem(lead.delete(f"{API}members/{colleague.pk}/"), 403, "may_not_manage_people")
    own = Membership.objects.get(user=world.engineer)
    problem(engineer.delete(f"{API}members/{own.pk}/"), 403, "may_not_manage_people")
    problem(engineer.delete(f"{API}members/{colleague.pk}/"), 404, "not_found")
    assert lead.delete(f"{API}members/{own.pk}/").status_code == 204


def test_an_organization_keeps_an_admin(world):
    own = Membership.objects.get(user=world.admin)
    problem(client_of(world.admin).delete(f"{API}members/{own.pk}/"), 422, "last_admin")
    with pytest.raises(services.LastAdmin):
        services.set_active(actor=actor(world.admin), user=world.admin, is_active=False)
    second = factories.MembershipFactory(user__organization=world.organization, role="admin", team=None).user
    services.set_active(actor=actor(second), user=world.admin, is_active=False)
    with pytest.raises(services.LastAdmin):
        services.set_active(actor=actor(second), user=second, is_active=False)


def test_roles_are_seen_by_those_who_oversee_them(world):
    everybody = {getattr(world, role).email for role in ROLES}
    team = {world.engineer.email, world.lead.email, world.contractor.email}
    seen = {"contractor": {world.contractor.email}, "lead": team, "auditor": everybody, "admin": everybody}
    for role, emails in seen.items():
        assert listed(client_of(getattr(world, role)), "members", "email") == emails, role


def test_an_admin_changes_nobody_of_another_organization(world):
    foreign = worlds.build()
    admin = actor(world.admin)
    theirs = Membership.objects.get(user=foreign.engineer)
    problem(client_of(world.admin).delete(f"{API}members/{theirs.pk}/"), 404, "not_found")
    for change in (
        lambda: services.set_active(actor=admin, user=foreign.engineer, is_active=False),
        lambda: services.revoke_role(actor=admin, membership=theirs),
        lambda: services.create_team(actor=admin, organization=foreign.organization, slug="x", name="X"),
        lambda: services.grant_role(
            actor=admin, user=foreign.engineer, role="engineer", team=foreign.team, now=timezone.now()
        ),
        lambda: token_services.issue_token(actor=admin, user=foreign.engineer, name="x", now=timezone.now()),
    ):
        with pytest.raises(services.MayNotManagePeople):
            change()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("teams", {"slug": "red", "name": "Red"}),
        ("projects", {"slug": "apollo", "name": "Apollo"}),
        ("members", {"email": "new@example.com", "full_name": "New", "role": "admin"}),
    ],
)
def test_operators_of_the_installation_are_told_that_they_have_no_organization(operator, path, body):
    problem(operator.post(f"{API}{path}/", body, format="json"), 403, "no_organization")
    [entry] = entries(operator)
    assert entry.result == "DENIED"


# -- tokens ------------------------------------------------------------------------------------------------------
def test_a_token_is_shown_once_works_and_is_revoked(world, client):
    engineer = client_of(world.engineer)
    made = engineer.post(f"{API}tokens/", {"name": "ci", "interface": "CLI"}, format="json").json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert client.get(f"{API}me/", headers=headers).status_code == 200
    assert "token" not in engineer.get(f"{API}tokens/").json()["results"][0]
    assert ApiToken.objects.get(pk=made["id"]).last_used_at is not None
    assert engineer.post(f"{API}tokens/{made['id']}/revoke/").status_code == 200
    problem(client.get(f"{API}me/", headers=headers), 401, "token_expired")
    problem(engineer.post(f"{API}tokens/{made['id']}/revoke/"), 409, "token_already_revoked")
    told = [(entry.action_type, entry.result) for entry in entries(engineer)]
    assert told[:2] == [("TOKEN_CREATE", "SUCCESS"), ("TOKEN_REVOKE", "SUCCESS")]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"expires_at": "2001-01-01T00:00:00Z"}, 422, "token_end_in_past"),
        ({"scopes": ["all"]}, 400, "invalid"),
        ({"interface": "ADMIN"}, 400, "invalid"),
    ],
)
def test_a_token_that_does_not_fit_is_refused(world, changes, status, code):
    answer = client_of(world.engineer).post(f"{API}tokens/", {"name": "ci"} | changes, format="json")
    problem(answer, status, code)


def test_a_token_is_not_issued_under_an_idempotency_key(world):
    engineer = client_of(world.engineer)
    answer = engineer.post(f"{API}tokens/", {"name": "ci"}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    problem(answer, 400, "idempotency_key_not_taken")
    assert [token.pk for token in ApiToken.objects.filter(user=world.engineer)] == [engineer.token.pk]


def test_a_token_issues_none_that_lasts_longer_or_may_do_more(world):
    end = timezone.now() + timedelta(days=2)
    brief, narrow = client_of(world.engineer, expires_at=end), client_of(world.engineer, scopes=("write",))
    later = (end + timedelta(seconds=1)).isoformat()
    for client, body in (
        (brief, {}),
        (brief, {"expires_at": None}),
        (brief, {"expires_at": later}),
        (narrow, {}),
        (narrow, {"scopes": []}),
        (narrow, {"scopes": ["read"]}),
        (narrow, {"scopes": ["read", "write"]}),
    ):
        answer = client.post(f"{API}tokens/", {"name": "more"} | body, format="json")
        problem(answer, 403, "wider_than_its_issuer")
    assert not ApiToken.objects.filter(name="more").exists()
    for client, body in ((brief, {"expires_at": end.isoformat()}), (narrow, {"scopes": ["write"]})):
        assert client.post(f"{API}tokens/", {"name": "same"} | body, format="json").status_code == 201


def test_a_token_of_the_console_is_on_the_page_alone_and_in_no_cookie(world, client):
    client.force_login(world.admin)
    form = {"name": "ci", "interface": "CLI", "days": "9"}
    answer = client.post(f"/admin/accounts/user/{world.engineer.pk}/do/issue-token/", form)
    assert answer.status_code == 200
    token = ApiToken.objects.get(user=world.engineer)
    shown = answer.content.decode()
    text = shown[shown.index(f"forge_{token.prefix}_") :].split("<")[0]
    assert client.get(f"{API}me/", headers={"Authorization": f"Bearer {text}"}).status_code == 200
    assert not any(token.prefix in cookie.value for cookie in answer.cookies.values())
    assert token.prefix not in str(dict(client.session))
    assert "no-store" in answer["Cache-Control"]
    assert [entry.action_type for entry in AuditLog.objects.filter(resource_id=token.pk)] == ["TOKEN_CREATE"]


def test_the_assistants_token_makes_no_other(world):
    lucy = client_of(world.engineer, interface="LUCY")
    problem(lucy.post(f"{API}tokens/", {"name": "free"}, format="json"), 403, "lucy_issues_no_tokens")
    [entry] = entries(lucy)
    assert (entry.interface, entry.result) == (Interface.LUCY, "DENIED")


def test_who_sees_and_revokes_the_tokens_of_others(world):
    tokens = {role: client_of(getattr(world, role)) for role in ROLES}
    theirs = client_of(worlds.build().engineer)
    seen = {
        "contractor": {"contractor"},
        "engineer": {"engineer"},
        "lead": {"contractor", "engineer", "lead"},
        "finance": {"finance"},
        "auditor": set(ROLES),
        "admin": set(ROLES),
    }
    for role, owners in seen.items():
        assert listed(tokens[role], "tokens") == {str(tokens[owner].token.pk) for owner in owners}, role
    engineers = f"{API}tokens/{tokens['engineer'].token.pk}/revoke/"
    problem(tokens["contractor"].post(engineers), 404, "not_found")
    problem(tokens["auditor"].post(engineers), 403, "may_not_manage_people")
    problem(tokens["admin"].post(f"{API}tokens/{theirs.token.pk}/revoke/"), 404, "not_found")
    assert tokens["lead"].post(engineers).status_code == 200
    assert tokens["admin"].post(f"{API}tokens/{tokens['lead'].token.pk}/revoke/").status_code == 200


def test_an_unknown_scope_is_refused_by_the_service_too(world):
    with pytest.raises(token_services.UnknownScope):
        token_services.issue_token(
            actor=actor(world.engineer), user=world.engineer, name="x", scopes=["all"], now=timezone.now()
        )


# -- organizations and passwords -----------------------------------------------------------------------------------
def test_organizations_are_made_by_operators_and_the_command_line(world, operator):
    for who in (Actor.command("x"), actor(operator.user)):
        services.create_organization(actor=who, slug=f"o-{who.kind.lower()}", name="O")
    with pytest.raises(services.MayNotManagePeople):
        services.create_organization(actor=actor(world.admin), slug="x", name="X")
    with pytest.raises(services.UnknownTimeZone):
        services.create_organization(actor=Actor.command("x"), slug="x", name="X", timezone="Mars")
    with pytest.raises(services.SlugTaken):
        services.create_organization(actor=Actor.command("x"), slug="o-user", name="X")
    for currency in ("usd", "US", "USDX", "USD\n", ""):
        with pytest.raises(services.UnknownCurrency):
            services.create_organization(actor=Actor.command("x"), slug="x", name="X", currency=currency)
    for slug in ("", "a b", "x" * 64, "x\n"):
        with pytest.raises(services.NotASlug):
            services.create_organization(actor=Actor.command("x"), slug=slug, name="X")
        with pytest.raises(services.NotASlug):
            services.create_team(actor=Actor.command("x"), organization=world.organization, slug=slug, name="X")


def test_an_operator_who_writes_a_currency_in_small_letters_is_told_so_in_the_console(operator, client):
    client.force_login(operator.user)
    form = {"name": "Acme", "slug": "acme", "timezone": "UTC", "currency": "usd"}
    answer = client.post("/admin/accounts/organization/add/", form)
    assert answer.status_code == 200
    assert "ISO 4217" in answer.content.decode()
    assert client.post("/admin/accounts/organization/add/", form | {"currency": "USD"}).status_code == 302


def test_a_weak_password_is_refused(world):
    person = {"email": "new@example.com", "full_name": "New", "role": "engineer", "team": world.team}
    common = {"actor": actor(world.admin), "organization": world.organization, "now": timezone.now(), **person}
    with pytest.raises(PasswordRefused):
        services.create_member(**common, password="password")
    made = services.create_member(**common, password="correct horse battery staple")
    assert made.user.check_password("correct horse battery staple")


def test_an_operator_is_nobodys_member(world, operator):
    with pytest.raises(NotFound):
        services.grant_role(
            actor=actor(world.admin), user=operator.user, role="engineer", team=world.team, now=timezone.now()
        )
