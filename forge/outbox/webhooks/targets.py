"""Where webhooks may go: the address as people write it, and the addresses of the network behind its name.

What a name stands for is looked up once, every address found is judged, and the connection goes to one of exactly
these, so that a name cannot mean one thing when it is judged and another when it is called.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

LONGEST = 2000
MOST_ADDRESSES = 4

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?", re.IGNORECASE)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


NEVER = _networks(
    "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "100.100.100.200/32", "168.63.129.16/32",
    "192.0.0.192/32", "::/128", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128",
)  # fmt: skip
"""Link-local, multicast, reserved, and where clouds answer with a machine's credentials: no setting opens these."""

NOT_PUBLIC = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "2001::/23", "2001:db8::/32", "2002::/16",
    "3fff::/20",
)  # fmt: skip
"""Of IANA's registries of special-purpose addresses; FORGE_WEBHOOK_NETWORKS opens what a company has of its own."""

PUBLIC_V6 = ipaddress.ip_network("2000::/3")
"""All else in IPv6 is local, mapped or translated IPv4 (::ffff:0:0/96, 64:ff9b::/96), or not handed out yet."""


class TargetRefused(Exception):
    """Nothing is sent there; says why in a few words."""


@dataclass(frozen=True)
class Target:
    """An address in parts: what is called, by which name, and what is asked for there."""

    is_tls: bool
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Scheme, name and port: what the audit log tells of it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}"


def parse(url: str) -> Target:
    """The parts of `url`; raises TargetRefused for one that may not be called, as far as it shows by itself."""
    if len(url) > LONGEST or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise TargetRefused(f"an address has at most {LONGEST} characters, all of them printable ASCII")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise TargetRefused(f"it is no address: {error}") from error
    if parts.scheme not in ("https", "http") or (parts.scheme == "http" and not settings.FORGE_WEBHOOK_HTTP):
        raise TargetRefused("it begins with https://")
    if "@" in parts.netloc or parts.fragment:
        raise TargetRefused("it has neither a user name nor a fragment")
    if port == 0:
        raise TargetRefused("there is no port 0")
    literal = _literal(host)
    if literal is not None:
        judge(literal)
    elif not _NAME.fullmatch(host):
        raise TargetRefused("its host is no name; write one with other letters in its ASCII form (xn--…)")
    query = f"?{parts.query}" if parts.query else ""
    is_tls = parts.scheme == "https"
    return Target(is_tls, host, port or (443 if is_tls else 80), (parts.path or "/") + query)


def look_up(target: Target) -> list[str]:
    """The addresses that the name stands for now, at most MOST_ADDRESSES; one look-up.

    Raises TargetRefused where one of them may not be called, or there is none.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TargetRefused(f"its name cannot be looked up: {error}") from error
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    for one in addresses:
        judge(ipaddress.ip_address(one))
    if not addresses:
        raise TargetRefused("its name stands for no address")
    return addresses[:MOST_ADDRESSES]


def judge(address: Address) -> None:
    """Raises TargetRefused for an address of the network that is not public, unless the installation opens it."""
    if _is_in(address, NEVER):
        raise TargetRefused(f"{address} is never called")
    if _is_in(address, settings.FORGE_WEBHOOK_NETWORKS):
        return
    if _is_in(address, NOT_PUBLIC) or (address.version == 6 and address not in PUBLIC_V6):
        raise TargetRefused(f"{address} is not a public address")


def _is_in(address: Address, networks: tuple[Network, ...] | list[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
