"""What a token may be used for: `read`, `write`, or (without scopes) all that its person may do."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from audit.actors import source_address
from forge.accounts.networks import holds
from forge.api.errors import Denied

READ, WRITE = SCOPES = ("read", "write")


class TokenScope(Denied):
    code = "token_scope"
    title = "The token was not made for this"
    suggested_action = "Use a token with the scope that this needs."


class TokenNetwork(Denied):
    code = "token_network"
    title = "The token is not used from here"
    suggested_action = "Use it from a network that it was made for, or issue another."


class WithinTokenNetworks(BasePermission):
    """A token with networks is used from these alone; the address is the one that the audit log has.

    A permission and not part of authentication, so that a refusal names the person whose token it was.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or raises TokenNetwork."""
        if not holds(getattr(request.auth, "networks", ()), source_address(request._request)):
            raise TokenNetwork("Its networks do not hold the address that this came from.")
        return True


class WithinTokenScope(BasePermission):
    """Reads need `read`, everything else `write`; a POST that changes nothing (`audit_as_read`) is a read.

    A permission and not part of authentication, so that a refusal names the person whose token it was.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or raises TokenScope."""
        scopes = getattr(request.auth, "scopes", None)
        if scopes:
            reads = request.method in SAFE_METHODS or getattr(view, "audit_as_read", False)
            needed = READ if reads else WRITE
            if needed not in scopes:
                raise TokenScope(f"It has the scope {', '.join(scopes)}; this needs {needed}.")
        return True
