"""Who acts: the one description of a person, token, job or command that every audit entry takes its author from."""

from __future__ import annotations

import ipaddress
import uuid
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest

from forge.db import scope
from forge.db.ids import uuid7

if TYPE_CHECKING:
    from forge.operations.models import Operation

ADMIN_PREFIX = "/admin/"
_REQUEST_IDS = uuid.UUID("6f1c9d1e-6a3b-4d6e-9b0a-2f6f0c2b7d11")
"""Namespace in which a request id that is no UUID becomes a correlation id."""


class Kind(StrEnum):
    USER = "USER"
    SERVICE = "SERVICE"
    JOB = "JOB"
    COMMAND = "COMMAND"
    ANONYMOUS = "ANONYMOUS"


class Interface(StrEnum):
    PORTAL = "PORTAL"
    CLI = "CLI"
    LUCY = "LUCY"
    API = "API"
    ADMIN = "ADMIN"
    COMMAND = "COMMAND"
    JOB = "JOB"


class AskerUnknown(LookupError):
    """Whoever asked for an operation is not to be found, so nobody's roles say whether it may go on."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who does something, through which interface and from where; one correlation id binds what follows from it."""

    kind: Kind
    interface: Interface
    user: Any = None
    user_id: uuid.UUID | None = None
    email: str | None = None
    organization_id: uuid.UUID | None = None
    credential_id: uuid.UUID | None = None
    source_ip: str | None = None
    user_agent: str | None = None
    correlation_id: uuid.UUID = field(default_factory=uuid7)
    name: str = ""

    @property
    def has_account(self) -> bool:
        """True for people and services: their roles decide what they may, where a job or command is trusted."""
        return self.kind in (Kind.USER, Kind.SERVICE)

    @classmethod
    def of_request(cls, request: HttpRequest, *, user: Any = None) -> Actor:
        """The person behind a request (or `user`), as far as authentication has come.

        The interface is the token's; a browser session is ADMIN under /admin/, else PORTAL. No header says it.
        """
        user = user or getattr(request, "user", None)
        token = getattr(request, "auth", None)
        nobody = cls(
            kind=Kind.ANONYMOUS,
            interface=_interface(request, Interface.API),
            source_ip=source_address(request),
            user_agent=request.META.get("HTTP_USER_AGENT") or None,
            correlation_id=correlation_id(request),
        )
        if user is None or not user.is_authenticated:
            return nobody
        return replace(
            nobody,
            kind=_kind(user),
            interface=Interface(token.interface) if token is not None else _interface(request, Interface.PORTAL),
            user=user,
            user_id=user.id,
            email=user.email,
            organization_id=user.organization_id,
            credential_id=getattr(token, "id", None),
        )

    @classmethod
    def of_user(cls, user: Any, *, correlation_id: uuid.UUID | None = None) -> Actor:
        """A person whose request is over: what a worker does in the name of whoever asked for it."""
        return cls(
            kind=_kind(user),
            interface=Interface.JOB,
            user=user,
            user_id=user.id,
            email=user.email,
            organization_id=user.organization_id,
            correlation_id=correlation_id or uuid7(),
        )

    @classmethod
    def of_operation(cls, operation: Operation, *, job: str = "operations") -> Actor:
        """In whose name a worker acts: whoever asked for the operation, else the job that did.

        Nothing is done by the trusted job that a person asked for: raises AskerUnknown where nobody has that id.
        """
        if operation.actor_id is None:
            return cls.job(job, operation.organization_id, correlation_id=operation.correlation_id)
        with scope.system():  # an operator belongs to no organization
            user = get_user_model().objects.filter(pk=operation.actor_id).first()
        if user is None:
            raise AskerUnknown(f"Nobody has the id {operation.actor_id}, in whose name operation {operation.id} is.")
        return cls.of_user(user, correlation_id=operation.correlation_id)

    @classmethod
    def job(
        cls, name: str, organization_id: uuid.UUID | None = None, *, correlation_id: uuid.UUID | None = None
    ) -> Actor:
        """A job that runs by itself; its name stands in the context of its entries."""
        return cls(
            kind=Kind.JOB,
            interface=Interface.JOB,
            name=name,
            organization_id=organization_id,
            correlation_id=correlation_id or uuid7(),
        )

    @classmethod
    def command(cls, name: str) -> Actor:
        """A management command; its name stands in the context of its entries."""
        return cls(kind=Kind.COMMAND, interface=Interface.COMMAND, name=name)

    def in_organization(self, organization_id: uuid.UUID | None) -> Actor:
        """The same actor, acting in that organization."""
        return replace(self, organization_id=organization_id)

    def for_one_of(self, organization_id: uuid.UUID | None) -> Actor:
        """The actor of a sweep for one object of that organization: what follows shares a correlation of its own."""
        return replace(self, organization_id=organization_id, correlation_id=uuid7())

    def with_correlation(self, correlation_id: uuid.UUID) -> Actor:
        """The same actor, as part of what `correlation_id` began."""
        return replace(self, correlation_id=correlation_id)


def correlation_id(request: HttpRequest) -> uuid.UUID:
    """The request id as a UUID; one in another form becomes a UUIDv5, so that it can still be looked up."""
    request_id = getattr(request, "request_id", None)
    if not request_id:
        return uuid7()
    try:
        return uuid.UUID(request_id)
    except ValueError:
        return uuid.uuid5(_REQUEST_IDS, request_id)


def source_address(request: HttpRequest) -> str | None:
    """The caller's address: the peer's, or what the outermost of exactly FORGE_TRUSTED_PROXIES proxies saw.

    Each proxy appends the address that it was called from, so with n proxies the caller is the n-th from the right;
    whatever stands further left was sent by the caller and is not believed. A shorter header did not come through
    the proxies: the peer counts.
    """
    peer = canonical_address(request.META.get("REMOTE_ADDR", ""))
    proxies = settings.FORGE_TRUSTED_PROXIES
    if proxies < 1:
        return peer
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return (canonical_address(hops[-proxies]) if len(hops) >= proxies else None) or peer


def canonical_address(text: str) -> str | None:
    """One canonical spelling of an address, without port or zone; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _kind(user: Any) -> Kind:
    return Kind.SERVICE if getattr(user, "is_service", False) else Kind.USER


def _interface(request: HttpRequest, otherwise: Interface) -> Interface:
    return Interface.ADMIN if request.path.startswith(ADMIN_PREFIX) else otherwise
