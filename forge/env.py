"""Strict reading of the environment: a missing or malformed value names itself and how to mend it."""

import fcntl
import os
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from forge.accounts.signin.providers import BadProvider, IdentityProvider, parse
from forge.api.rates import Rate

BASE_DIR = Path(__file__).resolve().parent.parent

STATE_DIR = Path(os.environ.get("FORGE_HOME") or BASE_DIR / ".forge")
"""Where `make demo` keeps its data and says what it started; nothing else writes there."""

env = environ.FileAwareEnv()
"""Reads `NAME`, or the file named by `NAME_FILE` (for mounted secrets)."""


def _demo_is_running() -> bool:
    """Whether somebody holds the demo's lock: one that was killed leaves dead addresses behind, but not the lock."""
    try:
        with (STATE_DIR / "demo.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


ADDRESSES = ("DATABASE_URL", "DATABASE_OWNER_URL", "FORGE_REPLICA_URL", "REDIS_URL", "AWS_ENDPOINT_URL")
"""Settings that say which installation a process belongs to: they come together, or not at all."""


def of_demo(published: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """What a process takes of the settings that the demo published, beside those it was given.

    Whoever is given another address than the demo's works elsewhere, and gets nothing of the demo: half of it would
    migrate the demo's database, call AWS for the demo's machines, or seal another log with the demo's key.
    """
    if _given_otherwise(published, given):
        return {}
    said = {name.removesuffix("_FILE") for name in given}
    return {name: value for name, value in published.items() if name.removesuffix("_FILE") not in said}


def _given_otherwise(published: Mapping[str, str], given: Mapping[str, str]) -> list[str]:
    own = [name for name in ADDRESSES if name in given and given[name] != published.get(name)]
    return own + [f"{name}_FILE" for name in ADDRESSES if f"{name}_FILE" in given]


def _published() -> dict[str, str]:
    """The settings of the demo that runs here; none where none does."""
    if not _demo_is_running():
        return {}
    try:
        lines = (STATE_DIR / "env").read_text().splitlines()
    except FileNotFoundError:
        return {}  # it is still starting
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


# `make demo` leaves its settings in .forge/env, so that management commands find it.
_demo = _published()
_elsewhere = _given_otherwise(_demo, os.environ) if _demo else []
os.environ.update(of_demo(_demo, os.environ))


def rate(name: str, *, default: str = "") -> str:
    """The rate of requests in `name`, empty for none; raises ImproperlyConfigured for anything else."""
    text = env.str(name, default=default)
    try:
        Rate.parse(text)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None
    return text


def one_of(name: str, choices: Sequence[str], *, default: str) -> str:
    """The value of `name`, one of `choices`; raises ImproperlyConfigured for anything else."""
    text = env.str(name, default=default)
    if text not in choices:
        raise ImproperlyConfigured(f"{name}: {text!r} is none of {', '.join(choices)}.")
    return text


def base_url(hosts: Sequence[str], *, is_secure: bool) -> str:
    """Where people find Forge when nothing else is said: the first of the hosts that it answers to."""
    host = next((host.lstrip(".") for host in hosts if host.lstrip(".") not in ("", "*")), "localhost")
    return f"{'https' if is_secure else 'http'}://{host}"


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """The networks in `name`, separated by commas; raises ImproperlyConfigured for what is none."""
    try:
        return [ip_network(text) for text in env.list(name, default=[])]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def identity_providers(name: str) -> list[IdentityProvider]:
    """The identity providers in `name`; raises ImproperlyConfigured for an entry that cannot be meant."""
    try:
        return parse(env.str(name, default=""), environment=os.environ)
    except BadProvider as error:
        raise ImproperlyConfigured(f"{name} {error}") from None


def required(name: str, hint: str) -> str:
    """The value of `name`; raises ImproperlyConfigured with `hint` when neither it nor `name_FILE` is set."""
    value = env.str(name, default="")
    if not value:
        left_out = f" {_elsewhere[0]} is not the demo's, so nothing is taken from the demo." if _elsewhere else ""
        raise ImproperlyConfigured(f"{name} is not set.{left_out} {hint}")
    return value


def folder(name: str) -> str:
    """The folder in `name`, empty for none; raises ImproperlyConfigured where it is not there."""
    path = env.str(name, default="")
    if path and not Path(path).is_dir():
        raise ImproperlyConfigured(f"{name}: {path} is no folder. Make it, empty and writable for every process.")
    return path
