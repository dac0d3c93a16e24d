"""Sign-in by a SAML identity provider that runs beside the test: signed answers to what was asked, and no others."""

from __future__ import annotations

import base64
import datetime as dt
import json
import zlib

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from audit.models import AuditLog
from forge.accounts.models import User
from forge.accounts.signin.providers import allauth_setting, parse
from tests.factories import MembershipFactory
from tests.forge.accounts.signin.processes import free_port, path_of, running
from tests.forge.accounts.signin.support import browser as any_browser
from tests.forge.accounts.signin.support import is_in, left

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("saml")]

EMAIL = "ada@acme.example"
PATH = "/account/saml/acme-saml/"
HOST = "forge.acme.example"


def browser():
    return any_browser(HTTP_HOST=HOST)


def _write_key(path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*form))
    return key


def _write_certificate(path, key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """Address and folder of the provider."""
    folder, port = tmp_path_factory.mktemp("saml"), free_port()
    _write_certificate(folder / "cert.pem", _write_key(folder / "key.pem"))
    _write_key(folder / "other.pem")
    address = f"http://127.0.0.1:{port}"
    arguments = ["-m", "tests.forge.accounts.signin.saml_provider", str(port), str(folder)]
    with running(arguments, ready=address, log=folder / "log"):
        yield address, folder


@pytest.fixture
def configured(provider, settings):
    address, folder = provider
    settings.ALLOWED_HOSTS = [HOST]

    def configure(**changes):
        entry = {
            "id": "acme-saml", "kind": "saml", "name": "Acme", "organization": "acme", "trust_email": True,
            "entity_id": f"{address}/idp", "sso_url": f"{address}/sso", "certificate_file": str(folder / "cert.pem"),
            **changes,
        }  # fmt: skip
        found = parse(json.dumps([entry]), environment={})
        settings.FORGE_IDENTITY_PROVIDERS = found
        settings.SOCIALACCOUNT_PROVIDERS = allauth_setting(found)

    configure()
    (folder / "sp.xml").write_bytes(browser().get(f"{PATH}metadata/").content)
    return configure


@pytest.fixture
def ada(configured):
    return MembershipFactory(role="admin", team=None, user__email=EMAIL, user__organization__slug="acme").user


def answered(client, *, query="", fault=""):
    """What the provider's page would have the browser post to Forge."""
    begun = client.post(f"{PATH}login/{query}")
    assert begun.status_code == 302, begun.content
    return requests.get(f"{begun['Location']}&as={EMAIL}&fault={fault}", timeout=30).json()


def posted(client, answer):
    """The browser's post, and the page on which Forge judges it."""
    form = {"SAMLResponse": answer["SAMLResponse"], "RelayState": answer["RelayState"]}
    taken = client.post(path_of(answer["action"]), form)
    assert taken.status_code == 302
    return client.get(taken["Location"])


def test_a_signed_answer_signs_in_and_links_the_identity(ada):
    client = browser()
    answer = posted(client, answered(client, query="?next=/admin/system/"))
    assert (answer.status_code, answer["Location"]) == (302, "/admin/system/")
    assert is_in(client, "/admin/")
    assert left() == [("IDENTITY_LINK", "SUCCESS", str(ada.pk)), ("AUTH_LOGIN", "SUCCESS", str(ada.pk))]
    account = SocialAccount.objects.get()
    assert (account.user, account.provider, account.uid) == (ada, "acme-saml", f"id-of-{EMAIL}")
    User.objects.update(email="renamed@acme.example")
    again = browser()
    posted(again, answered(again))
    assert is_in(again)


@pytest.mark.parametrize("fault", ["unsigned", "another_key", "another_audience", "expired", "tampered"])
def test_what_is_not_signed_by_the_provider_for_us_and_now_is_refused(ada, fault):
    MembershipFactory(role="admin", team=None, user__email="boss@acme.example", user__organization=ada.organization)
    client = browser()
    answer = posted(client, answered(client, fault=fault))
    assert answer.status_code == 403
    assert not is_in(client)
    assert not SocialAccount.objects.exists()
    entry = AuditLog.objects.get()
    assert (entry.action_type, entry.result, entry.context["code"]) == ("AUTH_FAILED", "DENIED", "sso_failed")


def test_an_answer_works_once_and_only_for_who_asked(ada):
    client, thief = browser(), browser()
    answer = answered(client)
    assert posted(thief, answer).status_code == 403
    assert posted(client, answer).status_code == 302
    client.post("/account/logout/")
    assert posted(client, answer).status_code == 403
    assert not is_in(client)


def test_an_email_is_taken_only_where_the_settings_trust_the_provider(ada, configured):
    configured(trust_email=False)
    client = browser()
    assert posted(client, answered(client)).status_code == 403
    assert not is_in(client)


def test_the_metadata_names_where_answers_go(ada):
    text = browser().get(f"{PATH}metadata/").content.decode()
    assert f"{PATH}acs/" in text
    assert 'WantAssertionsSigned="true"' in text
    assert browser().get("/account/saml/another/metadata/").status_code == 404


def test_a_sign_out_that_the_provider_has_not_signed_ends_nothing(ada, provider):
    client = browser()
    posted(client, answered(client))
    text = (
        '<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0"'
        f' IssueInstant="{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"><saml:Issuer'
        f' xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">{provider[0]}/idp</saml:Issuer><saml:NameID'
        f' xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">id-of-{EMAIL}</saml:NameID></samlp:LogoutRequest>'
    )
    packed = base64.b64encode(zlib.compress(text.encode())[2:-4]).decode()
    answer = client.get(f"{PATH}sls/", {"SAMLRequest": packed})
    assert answer.status_code == 403
    assert is_in(client)
