"""Identity providers of organizations, as the settings name them; pure, because forge.settings reads them by it.

FORGE_IDENTITY_PROVIDERS is a JSON list. What is secret stands elsewhere and is named: the environment variable
`client_secret_env`, or the file `client_secret_file`.

{"id": "acme-okta", "kind": "oidc", "name": "Okta", "organization": "acme",
 "server_url": "https://acme.okta.com", "client_id": "…", "client_secret_env": "ACME_OKTA_SECRET"}
{"id": "acme-adfs", "kind": "saml", "name": "ADFS", "organization": "acme", "trust_email": true,
 "entity_id": "…", "sso_url": "https://…", "certificate_file": "/run/secrets/adfs.pem"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OIDC, SAML = "oidc", "saml"
_HOST = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"  # what a host may be in a page's security policy
_ADDRESS = re.compile(rf"(?P<origin>https?://{_HOST}(?::(?P<port>[0-9]+))?)(?P<rest>[/?][!-~]*)?")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_COMMON = {"id", "kind", "name", "organization", "trust_email", "sign_up_team", "is_listed", "attributes", "leads_to"}
_ADDRESS_OF = {OIDC: "server_url", SAML: "sso_url"}
_OWN = {
    OIDC: {"server_url", "client_id", "client_secret_env", "client_secret_file"},
    SAML: {"entity_id", "sso_url", "certificate_file"},
}


class BadProvider(ValueError):
    """An entry of FORGE_IDENTITY_PROVIDERS that cannot be meant; says which and why."""


@dataclass(frozen=True)
class IdentityProvider:
    """Where people of one organization prove who they are.

    `trust_email` takes the provider's word for an address that it does not mark as verified. With `sign_up_team` (a
    slug) somebody whom the organization does not have becomes an engineer of that team; without it nobody is added.
    """

    id: str
    kind: str
    name: str
    organization: str
    facts: Mapping[str, str]
    secret: str
    attributes: Mapping[str, str]
    trust_email: bool
    sign_up_team: str
    is_listed: bool
    leads_to: tuple[str, ...] = ()
    """Origins that the provider sends people on to while they sign in, beside its own."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Where a form that begins a sign-in may end up, for the pages' security policy."""
        its_own, _ = _parts(self.id, _ADDRESS_OF[self.kind], self.facts[_ADDRESS_OF[self.kind]])
        return its_own, *self.leads_to

    @property
    def login_path(self) -> str:
        """Where a form on the sign-in page sends people; forge.accounts.signin.urls has it."""
        return f"/account/{self.kind}/{self.id}/login/"

    def app(self) -> dict[str, Any]:
        """The provider as allauth's setting has it."""
        return _oidc_app(self) if self.kind == OIDC else _saml_app(self)


def parse(text: str, *, environment: Mapping[str, str]) -> list[IdentityProvider]:
    """The providers of a JSON list, empty for an empty text; raises BadProvider."""
    try:
        entries = json.loads(text or "[]")
    except json.JSONDecodeError as error:
        raise BadProvider(f"is no JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadProvider("is no list of objects")
    found = [_parse_one(entry, environment) for entry in entries]
    if len({one.id for one in found}) != len(found):
        raise BadProvider("names two providers by the same id")
    return found


def allauth_setting(found: list[IdentityProvider]) -> dict[str, Any]:
    """SOCIALACCOUNT_PROVIDERS."""
    kinds = {"openid_connect": OIDC, "saml": SAML}
    return {theirs: {"APPS": [one.app() for one in found if one.kind == ours]} for theirs, ours in kinds.items()}


def _parse_one(entry: dict[str, Any], environment: Mapping[str, str]) -> IdentityProvider:
    key, kind = str(entry.get("id", "")), entry.get("kind")
    if not _ID.fullmatch(key):
        raise BadProvider(f"has the id {key!r}: lower-case letters, digits and hyphens, at most 63")
    if kind not in _OWN:
        raise BadProvider(f"{key}: kind is oidc or saml")
    if unknown := sorted(entry.keys() - _COMMON - _OWN[kind]):
        raise BadProvider(f"{key}: {unknown[0]} is not known")
    optional = {"trust_email", "sign_up_team", "is_listed", "attributes", "leads_to"}
    optional |= {"client_secret_env", "client_secret_file"}
    if missing := sorted((_COMMON | _OWN[kind]) - optional - entry.keys()):
        raise BadProvider(f"{key}: {missing[0]} is missing")
    _parts(key, _ADDRESS_OF[kind], entry[_ADDRESS_OF[kind]])
    return IdentityProvider(
        id=key,
        kind=kind,
        name=str(entry["name"]),
        organization=str(entry["organization"]),
        facts={name: str(entry[name]) for name in _OWN[kind] & entry.keys()},
        secret=_secret(key, entry, environment) if kind == OIDC else "",
        attributes={str(name): str(theirs) for name, theirs in entry.get("attributes", {}).items()},
        trust_email=entry.get("trust_email", False) is True,
        sign_up_team=str(entry.get("sign_up_team", "")),
        is_listed=entry.get("is_listed", True) is True,
        leads_to=_origins(key, entry.get("leads_to", [])),
    )


def _origins(key: str, wanted: Any) -> tuple[str, ...]:
    fault = BadProvider(f"{key}: leads_to is a list of origins such as https://login.acme.example")
    if not isinstance(wanted, list):
        raise fault
    parts = [_parts(key, "leads_to", one) for one in wanted]
    if any(rest not in ("", "/") for _, rest in parts):
        raise fault
    return tuple(origin for origin, _ in parts)


def _parts(key: str, name: str, address: Any) -> tuple[str, str]:
    """The origin of an address, and what follows it."""
    found = _ADDRESS.fullmatch(str(address))
    if found is None:
        told = re.sub("//[^/]*@", "//…@", str(address))  # a password may stand there
        raise BadProvider(
            f"{key}: {name} has {told!r}, which is no address such as https://login.acme.example: http or https in"
            " small letters, a host by name or IPv4 address, all of it in ASCII, no user"
        )
    if found["port"] is not None and not 0 < int(found["port"]) <= 65535:
        raise BadProvider(f"{key}: {name} has the port {found['port']}: 1 to 65535")
    return found["origin"], found["rest"] or ""


def _secret(key: str, entry: dict[str, Any], environment: Mapping[str, str]) -> str:
    name, path = entry.get("client_secret_env"), entry.get("client_secret_file")
    if (name is None) == (path is None):
        raise BadProvider(f"{key}: name the secret by one of client_secret_env and client_secret_file")
    secret = environment.get(name, "") if name is not None else _read(str(path)).strip()
    if not secret:
        raise BadProvider(f"{key}: {name or path} holds no secret")
    return secret


def _oidc_app(one: IdentityProvider) -> dict[str, Any]:
    settings = {"server_url": one.facts["server_url"], "oauth_pkce_enabled": True, "verified_email": one.trust_email}
    return {
        "provider_id": one.id,
        "name": one.name,
        "client_id": one.facts["client_id"],
        "secret": one.secret,
        "settings": settings,
    }


def _saml_app(one: IdentityProvider) -> dict[str, Any]:
    idp = {
        "entity_id": one.facts["entity_id"],
        "sso_url": one.facts["sso_url"],
        "x509cert": _read(one.facts["certificate_file"]),
    }
    settings: dict[str, Any] = {
        "idp": idp,
        "verified_email": one.trust_email,
        "advanced": {"strict": True, "want_assertion_signed": True, "want_name_id": True},
    }
    if one.attributes:
        settings["attribute_mapping"] = dict(one.attributes)
    return {"provider_id": one.id, "name": one.name, "client_id": one.id, "settings": settings}


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise BadProvider(f"cannot read {path}: {error.strerror}") from error
