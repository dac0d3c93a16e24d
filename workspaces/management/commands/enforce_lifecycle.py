"""`manage.py enforce_lifecycle`: what the beat job of that name does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.actors import Actor
from forge.db.job_command import JobCommand
from workspaces.rules.pausing import JOB, pause_of
from workspaces.rules.sweep import enforce, foresee


class Command(JobCommand):
    help = "Warn of, and carry out, what the rules of the lifecycle say: stops, flags and ends of machines."

    def work(self, *, now: datetime, dry_run: bool) -> dict[str, Any]:
        """The figures of the run; on a dry run what it would do to which machine, and why.

        A pause for everybody holds for the command, too, and is told of as `is_paused`.
        """
        pause = pause_of(None)
        told = {"is_paused": str(pause)} if pause else {}
        if not dry_run:
            return enforce(now=now, actor=Actor.command(JOB)) | told
        would = foresee(now=now)
        return {"would": len(would), "actions": would} | told

    def text(self, figures: dict[str, Any]) -> str:
        """On a dry run one line for each thing that would be done."""
        lines = [
            f"{one['workspace']} {one['does']} ({one['of']}, {one['rule']}, {one['at']}): {one['why']}"
            for one in figures.get("actions", ())
        ]
        return "\n".join([*lines, super().text({k: v for k, v in figures.items() if k != "actions"})])
