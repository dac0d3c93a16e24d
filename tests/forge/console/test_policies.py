"""What each page may load and run, and where its forms may lead, is said with every answer."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from forge.accounts.signin.providers import parse
from tests.forge.console.test_sites import signed_in

pytestmark = pytest.mark.django_db

ADFS, CODES, LOGIN = "https://adfs.acme.example", "https://codes.acme.example", "https://login.acme.example:8443"
PROVIDERS = [
    {
        "id": "acme-oidc", "kind": "oidc", "name": "Acme", "organization": "acme", "client_id": "forge",
        "server_url": "https://login.acme.example:8443/realms/a", "client_secret_env": "ACME",
        "leads_to": ["https://codes.acme.example/"],
    },
    {
        "id": "acme-saml", "kind": "saml", "name": "Acme", "organization": "acme", "entity_id": "urn:acme",
        "sso_url": "https://adfs.acme.example/adfs/ls/", "certificate_file": "/dev/null",
    },
    {
        "id": "quiet", "kind": "oidc", "name": "Quiet", "organization": "acme", "client_id": "forge",
        "server_url": "https://login.quiet.example", "client_secret_env": "ACME", "is_listed": False,
        "leads_to": ["https://codes.quiet.example"],
    },
]  # fmt: skip


def policy(answer):
    """The directives of an answer, each with its sources."""
    directives = (one.split() for one in answer["Content-Security-Policy"].split(";"))
    return {name: sources for name, *sources in directives}


@pytest.mark.parametrize(
    ("address", "scripts"),
    [
        ("/", ["'self'"]),
        ("/nowhere/", ["'self'"]),
        ("/healthz", ["'self'"]),
        ("/api/v1/docs/", ["'self'"]),
        ("/admin/", ["'self'", "'unsafe-eval'"]),
        ("/admin/nowhere/", ["'self'", "'unsafe-eval'"]),
        ("/account/", ["'self'", "'unsafe-eval'"]),
        ("/account/login/", ["'self'", "'unsafe-eval'"]),
    ],
)
def test_a_page_runs_scripts_of_its_own_host_alone_and_nobody_frames_it(address, scripts):
    said = policy(signed_in("admin").get(address))
    assert said["script-src"] == scripts
    assert said["default-src"] == said["form-action"] == ["'self'"]
    assert said["object-src"] == said["base-uri"] == said["frame-ancestors"] == ["'none'"]


@pytest.mark.parametrize("address", ["/api/v1/me/", "/api/v1/nowhere/", "/api/v1/schema/"])
def test_an_answer_of_the_api_loads_nothing_at_all(address):
    assert policy(Client().get(address)) == {
        name: ["'none'"] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")
    }


def test_no_page_has_a_script_inline():
    browser = signed_in("admin")
    lists = [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in admin.site._registry
    ]
    fixed = ["/admin/", "/admin/workspaces/workspace/add/", "/account/", "/account/2fa/", "/api/v1/docs/"]
    pages = [answer for answer in map(browser.get, [*fixed, *lists]) if answer.status_code == 200]
    pages += [Client().get(address) for address in ("/admin/login/", "/account/login/")]
    assert len(pages) > 20
    for answer in pages:
        page = answer.content.decode()
        for attributes in re.findall(r"<script\b([^>]*)>", page):
            assert "src=" in attributes or "application/json" in attributes, (answer.request["PATH_INFO"], attributes)
        assert not re.search(r"<[^>]*\son[a-z]+=", page), answer.request["PATH_INFO"]
        assert "javascript:" not in page


def test_the_start_of_the_docs_page_is_a_script_with_an_address():
    page = Client().get("/api/v1/docs/").content.decode()
    [address] = re.findall(r'<script src="(/api/v1/docs/[^"]*)"', page)
    script = Client().get(address)
    assert (script.status_code, script["Content-Type"]) == (200, "application/javascript")
    assert "SwaggerUIBundle" in script.content.decode()


@pytest.mark.parametrize(
    ("address", "led_to"),
    [
        *((path, [CODES, ADFS, LOGIN]) for path in ("/admin/login/", "/account/login/")),
        ("/account/oidc/acme-oidc/login/", [CODES, LOGIN]),
        ("/account/saml/acme-saml/login/", [ADFS]),
        ("/account/oidc/quiet/login/", ["https://codes.quiet.example", "https://login.quiet.example"]),
        *((path, []) for path in ("/account/saml/quiet/login/", "/account/oidc/none/login/", "/account/oidc/login/")),
        *((path, []) for path in ("/account/password/forgotten/", "/account/oidc/quiet/login/callback/", "/nowhere/")),
    ],
)
def test_a_page_leads_to_the_identity_providers_that_it_names_and_to_no_others(settings, address, led_to):
    settings.FORGE_IDENTITY_PROVIDERS = parse(json.dumps(PROVIDERS), environment={"ACME": "a secret"})
    assert policy(Client().get(address))["form-action"] == ["'self'", *sorted(led_to)]
