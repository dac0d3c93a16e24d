"""Networks from which a token may be used; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def canonical(text: str) -> str:
    """One spelling of a network in CIDR; a single address is a network of one. Raises ValueError."""
    return str(ip_network(text.strip()))


def holds(networks: Iterable[str], address: str | None) -> bool:
    """Whether the address lies in one of the networks; no networks are everywhere, no address is nowhere."""
    known = list(networks)
    if not known:
        return True
    if address is None:
        return False
    return any(ip_address(address) in ip_network(one) for one in known)


def are_within(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Whether each of `inner` lies in one of `outer`, where none means everywhere."""
    if not outer:
        return True
    return bool(inner) and all(any(_is_within(ip_network(one), ip_network(other)) for other in outer) for one in inner)


def _is_within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network) and inner.subnet_of(outer)
