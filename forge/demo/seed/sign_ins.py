"""The sign-ins and tokens that the demo prints; they live in `.forge/`, where one start hands them to the next."""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from audit.actors import Actor
from forge.accounts.models import ApiToken
from forge.accounts.token_services import issue_token
from forge.demo.seed.organization import Seeded
from forge.env import STATE_DIR
from workspaces.models import WorkSpace

FILE = STATE_DIR / "demo-users.json"


def known_password(path: Path = FILE) -> str:
    """The password of an earlier start, else a new one."""
    return next((user["password"] for user in _read(path)), None) or f"forge-{secrets.token_urlsafe(9)}"


def write_sign_ins(
    *, actor: Actor, seeded: Seeded, password: str, now: datetime, path: Path = FILE
) -> list[dict[str, Any]]:
    """Write and return the sign-ins, each with a live API token; tokens that still work are kept."""
    before = {user["email"]: user["api_token"] for user in _read(path)}
    owners = set(WorkSpace.objects.live().values_list("owner_id", flat=True))
    users = []
    for person in seeded.people:
        if not person.has_sign_in:
            continue
        user = seeded.users[person.email]
        token = before.get(person.email)
        if (
            token is None
            or not ApiToken.objects.filter(user=user, revoked_at=None, prefix=token.split("_")[1]).exists()
        ):
            _, token = issue_token(actor=actor, user=user, name="demo", now=now)
        users.append(
            {
                "email": person.email,
                "password": password,
                "role": person.role,
                "team": person.team,
                "api_token": token,
                "has_machine": user.id in owners,
            }
        )
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(json.dumps(users, indent=2) + "\n")
    return users


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text()) if path.exists() and path.stat().st_size else []
