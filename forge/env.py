"""Strict reading of the environment: a missing or malformed value names itself and how to mend it."""

import fcntl
import os
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


# `make demo` leaves the addresses of what it started here, so that management commands find them.
if _demo_is_running():
    environ.Env.read_env(STATE_DIR / "env", overwrite=False)


def rate(name: str, *, default: str = "") -> str:
    """The rate of requests in `name`, empty for none; raises ImproperlyConfigured for anything else."""
    text = env.str(name, default=default)
    try:
        Rate.parse(text)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None
    return text


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
        raise ImproperlyConfigured(f"{name} is not set. {hint}")
    return value


def folder(name: str) -> str:
    """The folder in `name`, empty for none; raises ImproperlyConfigured where it is not there."""
    path = env.str(name, default="")
    if path and not Path(path).is_dir():
        raise ImproperlyConfigured(f"{name}: {path} is no folder. Make it, empty and writable for every process.")
    return path
