"""What is looked at, and what of it is wrong: pure functions over what AWS shows.

The sources of each check are in docs/posture.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workspaces.aws import DEFAULT_KEY, Directory, Machine

HIGH, MEDIUM = "HIGH", "MEDIUM"

PROTOCOL, ENCRYPTION, DOMAIN = "protocol", "volume_encryption", "domain_join"
INTERNET, SELF_SERVICE, ADMINISTRATOR = "internet_access", "self_service", "local_administrator"
TRANSFERS, NO_STACK = "stack_transfers", "stack_missing"
ZERO_CLIENTS, KEY, ATTESTATION = "zero_clients", "volume_key", "attestation"
MISSING, TAGS = "directory_missing", "tags_differ"
TAG_ACCESS, SERVICE_ACCESS = "tag_access", "service_access"

MACHINE_CHECKS = (PROTOCOL, ENCRYPTION, KEY, DOMAIN)
DIRECTORY_CHECKS = (INTERNET, SELF_SERVICE, ADMINISTRATOR, ZERO_CLIENTS, ATTESTATION)
STACK_CHECKS = (TRANSFERS, NO_STACK)
PLACE_CHECKS = (MISSING,)
TAG_CHECKS = (TAGS,)
ACCESS_CHECKS = (TAG_ACCESS, SERVICE_ACCESS)

SEVERITY: Mapping[str, str] = {
    PROTOCOL: HIGH,
    ENCRYPTION: HIGH,
    DOMAIN: HIGH,
    INTERNET: HIGH,
    SELF_SERVICE: MEDIUM,
    ADMINISTRATOR: MEDIUM,
    TRANSFERS: HIGH,
    NO_STACK: HIGH,
    ZERO_CLIENTS: MEDIUM,
    KEY: MEDIUM,
    ATTESTATION: MEDIUM,
    TAG_ACCESS: MEDIUM,
    SERVICE_ACCESS: HIGH,
    MISSING: HIGH,
    TAGS: MEDIUM,
}


@dataclass(frozen=True)
class Deviation:
    """One thing that is not as it should be; `subject` is AWS's id, a stack's name, or what may not be asked."""

    subject: str
    check: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    workspace_id: str | None = None


def of_machine(seen: Machine, *, workspace_id: str, is_joined: bool, key: str = DEFAULT_KEY) -> list[Deviation]:
    """What is wrong with a machine of WorkSpaces Personal; `key` is what its volumes should be encrypted under.

    A protocol that AWS does not show is not known to be DCV.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    if set(seen.protocols) != {"WSP"}:
        found.append((PROTOCOL, {"protocols": list(seen.protocols)}))
    if not (seen.root_encrypted and seen.user_encrypted):
        found.append((ENCRYPTION, {"root": seen.root_encrypted, "user": seen.user_encrypted}))
    elif is_another_key(key, seen.volume_key):
        found.append((KEY, {"wanted": key, "shown": seen.volume_key}))
    if not is_joined:
        found.append((DOMAIN, {"error": seen.error}))
    return [Deviation(seen.provider_id, check, detail, workspace_id) for check, detail in found]


def of_directory(seen: Directory) -> list[Deviation]:
    """What a directory allows that it should not."""
    found: list[tuple[str, dict[str, Any]]] = []
    if seen.has_internet_access:
        found.append((INTERNET, {"EnableInternetAccess": True}))
    if seen.self_service:
        found.append((SELF_SERVICE, {"enabled": list(seen.self_service)}))
    if seen.users_are_administrators:
        found.append((ADMINISTRATOR, {"UserEnabledAsLocalAdministrator": True}))
    if seen.allows_zero_clients:
        found.append((ZERO_CLIENTS, {"DeviceTypeZeroClient": "ALLOW"}))
    return [Deviation(seen.directory_id, check, detail) for check, detail in found]


def missing(directory_ids: Iterable[str], *, machines: Mapping[str, int]) -> list[Deviation]:
    """Directories that AWS does not show; `machines` of ours stand in each, which nobody can sign in to any more."""
    return [Deviation(one, MISSING, {"machines": machines.get(one, 0)}) for one in directory_ids]


def missing_stacks(names: Iterable[str], *, machines: Mapping[str, int]) -> list[Deviation]:
    """Stacks that AWS does not show; `machines` of ours are rights to each, which nobody can use any more."""
    return [Deviation(one, NO_STACK, {"machines": machines.get(one, 0)}) for one in names]


def is_another_key(wanted: str, shown: str) -> bool:
    """Whether AWS surely shows another key than wanted: an alias says nothing of the ARN of the key behind it."""
    return bool(shown) and _kind(wanted) == _kind(shown) and _name(wanted) != _name(shown)


def _kind(key: str) -> str:
    return "alias" if _name(key).startswith("alias/") else "key"


def _name(key: str) -> str:
    """`alias/…` or `key/…` of a reference, whether it is an ARN or not."""
    return key.rpartition(":")[2]


def of_stack(name: str, allowed: tuple[str, ...], *, refused: str | None = None) -> list[Deviation]:
    """Which ways a stack leaves open between a session and the person's own device, and why they were not closed."""
    if not allowed:
        return []
    why = {"refused": refused} if refused else {}
    return [Deviation(name, TRANSFERS, {"enabled": list(allowed), **why})]
