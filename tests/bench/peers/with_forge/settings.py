"""Forge's own settings, with the machine of this benchmark as one app more."""

from forge.settings import *  # noqa: F403
from forge.settings import DATABASES as OURS
from forge.settings import INSTALLED_APPS as APPS
from tests.bench.peers.common import looking_at, schema_of

DATABASES = {alias: looking_at(config, schema_of("with_forge"), "public") for alias, config in OURS.items()}
INSTALLED_APPS = [*APPS, "tests.bench.peers.with_forge"]
