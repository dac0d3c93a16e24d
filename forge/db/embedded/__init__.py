"""PostgreSQL and Valkey from wheels, run as children of the demo and of the tests.

Nothing here knows Django: these modules run before the settings are read.
"""

from forge.db.embedded.postgres import EmbeddedPostgres
from forge.db.embedded.processes import ServerFailed
from forge.db.embedded.valkey import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedValkey", "ServerFailed"]
