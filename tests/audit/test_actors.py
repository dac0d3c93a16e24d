"""Who acts: taken from the credential and the connection, never from what a caller may write into a header."""

import uuid
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from audit.actors import Actor, AskerUnknown, canonical_address, correlation_id, source_address
from forge.db import scope
from forge.operations.models import Operation
from tests import factories
from tests import world as worlds
from tests.audit.support import ANN, ORGANIZATION

USER = SimpleNamespace(id=ANN, email="ann@example.com", organization_id=ORGANIZATION, is_authenticated=True)


def request_of(path="/api/v1/workspaces/", *, user=USER, auth=None, **headers):
    request = RequestFactory().post(path, **headers)
    request.user = user
    request.auth = auth
    return request


@pytest.mark.parametrize("interface", ["PORTAL", "CLI", "LUCY", "API"])
def test_the_interface_is_the_tokens(interface):
    token = SimpleNamespace(id=uuid.uuid4(), interface=interface)
    actor = Actor.of_request(request_of(auth=token, HTTP_X_INTERFACE="ADMIN", HTTP_USER_AGENT="forge-cli/1"))
    assert (actor.interface, actor.credential_id) == (interface, token.id)
    assert (actor.kind, actor.user_id, actor.email) == ("USER", ANN, "ann@example.com")
    assert (actor.organization_id, actor.user_agent) == (ORGANIZATION, "forge-cli/1")


@pytest.mark.parametrize(
    ("path", "user", "interface"),
    [
        ("/admin/accounts/user/", USER, "ADMIN"),
        ("/api/v1/workspaces/", USER, "PORTAL"),
        ("/admin/login/", AnonymousUser(), "ADMIN"),
        ("/api/v1/workspaces/", AnonymousUser(), "API"),
        ("/administrators/", USER, "PORTAL"),
    ],
)
def test_a_browser_session_is_admin_under_admin_and_else_the_portal(path, user, interface):
    assert Actor.of_request(request_of(path, user=user)).interface == interface


def test_a_request_before_authentication_is_anonymous():
    request = RequestFactory().get("/")
    actor = Actor.of_request(request)
    assert (actor.kind, actor.user_id, actor.user) == ("ANONYMOUS", None, None)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.1", "10.0.0.9"),
        (1, "203.0.113.1", "203.0.113.1"),
        (1, "6.6.6.6, 203.0.113.1", "203.0.113.1"),
        (2, "6.6.6.6, 203.0.113.1, 10.0.0.2", "203.0.113.1"),
        (2, "203.0.113.1", "10.0.0.9"),
        (1, None, "10.0.0.9"),
        (1, "unknown", "10.0.0.9"),
        (1, "2001:DB8:0:0::1", "2001:db8::1"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "203.0.113.1:51000", "203.0.113.1"),
        (1, "::ffff:203.0.113.1", "203.0.113.1"),
    ],
)
def test_the_address_is_what_the_outermost_configured_proxy_saw(settings, proxies, forwarded, address):
    settings.FORGE_TRUSTED_PROXIES = proxies
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert source_address(request_of(REMOTE_ADDR="10.0.0.9", **headers)) == address


@pytest.mark.parametrize("text", ["", "nobody", "1.2.3", "1.2.3.4/32", "fe80::zz", "1.2.3.4:5:6"])
def test_what_is_no_address_is_none(text):
    assert canonical_address(text) is None


def test_a_zone_is_no_part_of_an_address():
    assert canonical_address("fe80::1%eth0") == "fe80::1"


def test_a_request_id_of_any_form_becomes_one_correlation_id():
    request = request_of()
    request.request_id = "deploy-2026/7"
    assert correlation_id(request) == correlation_id(request)
    assert correlation_id(request).version == 5
    request.request_id = str(ANN)
    assert correlation_id(request) == ANN
    assert correlation_id(RequestFactory().get("/")) != correlation_id(RequestFactory().get("/"))


def test_an_actor_moves_to_an_organization_and_a_correlation():
    actor = Actor.command("forge_init")
    moved = actor.in_organization(ORGANIZATION).with_correlation(ANN)
    assert (moved.organization_id, moved.correlation_id, moved.name) == (ORGANIZATION, ANN, "forge_init")
    assert actor.organization_id is None


def test_a_worker_acts_in_the_name_of_who_asked():
    actor = Actor.of_user(USER, correlation_id=ANN)
    assert (actor.kind, actor.interface, actor.user_id, actor.correlation_id) == ("USER", "JOB", ANN, ANN)
    assert Actor.job("meter_costs", ORGANIZATION, correlation_id=ANN).correlation_id == ANN


def operation_of(actor_id, organization):
    return Operation(id=uuid.uuid4(), actor_id=actor_id, organization_id=organization.id, correlation_id=uuid.uuid4())


@pytest.mark.django_db
def test_a_worker_acts_in_the_name_of_whoever_asked_an_operator_too():
    world = worlds.build()
    operator = factories.UserFactory(organization=None)
    with scope.organization(world.organization.id):
        for person in (world.engineer, operator):
            operation = operation_of(person.id, world.organization)
            actor = Actor.of_operation(operation)
            assert (actor.kind, actor.user, actor.correlation_id) == ("USER", person, operation.correlation_id)
        job = Actor.of_operation(operation_of(None, world.organization), job="bills")
    assert (job.kind, job.name, job.organization_id) == ("JOB", "bills", world.organization.id)


@pytest.mark.django_db
def test_what_nobody_asked_for_is_not_done_by_the_trusted_job():
    organization = factories.OrganizationFactory()
    with pytest.raises(AskerUnknown):
        Actor.of_operation(operation_of(uuid.uuid4(), organization))
