"""`python -m forge.make_secrets`: the secrets of a new installation, each in a file of its own.

Needs neither settings nor database. compose.yaml takes the files as they are, ops/kubernetes as a Secret. A file that
is there is never replaced: a second run makes only what is missing.
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from audit.sealing.signing import SigningKey
from forge.env import STATE_DIR

ROLES = """\
CREATE ROLE forge_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{owner}';
CREATE ROLE forge_app LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{app}';
CREATE ROLE forge_jobs LOGIN NOSUPERUSER BYPASSRLS PASSWORD '{jobs}';
GRANT forge_app TO forge_jobs;
CREATE DATABASE forge OWNER forge_owner;
"""


def make(folder: Path, *, origin: str, host: str, owner_host: str) -> list[str]:
    """Make what is missing in the folder; returns the names of the files that were made."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made: list[str] = []

    def keep(name: str, content: str) -> str:
        path = folder / name
        if not path.exists():
            path.write_text(content)
            path.chmod(0o444)  # the folder is ours alone; a container's user has to read the file
            made.append(name)
        return path.read_text()

    keep("secret-key", secrets.token_urlsafe(64))
    keep("metrics-token", secrets.token_urlsafe(32))
    keep("postgres-password", secrets.token_urlsafe(32))
    passwords = {
        role: keep(f"database-password-{role}", secrets.token_urlsafe(32)) for role in ("owner", "app", "jobs")
    }
    keep("postgres-roles.sql", ROLES.format(**passwords))
    keep("database-url", f"postgresql://forge_app:{passwords['app']}@{host}/forge")
    keep("database-owner-url", f"postgresql://forge_owner:{passwords['owner']}@{owner_host}/forge")
    keep("pgbouncer-userlist", f'"forge_app" "{passwords["app"]}"\n')
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    keep("audit-verifier-keys", str(SigningKey.load(keep("audit-signing-key", pem)).verifier(origin)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m forge.make_secrets", description=__doc__)
    parser.add_argument("--folder", type=Path, default=STATE_DIR / "secrets")
    parser.add_argument("--origin", required=True, help="FORGE_AUDIT_ORIGIN, chosen once, e.g. forge.example.com/audit")
    parser.add_argument("--host", default="postgres:5432", help="PostgreSQL, or the pooler in front of it")
    parser.add_argument("--owner-host", help="PostgreSQL itself, where --host is a pooler")
    options = parser.parse_args()
    made = make(options.folder, origin=options.origin, host=options.host, owner_host=options.owner_host or options.host)
    print(f"{options.folder}: made {', '.join(made)}" if made else f"{options.folder}: all was there")  # noqa: T201


if __name__ == "__main__":
    main()
