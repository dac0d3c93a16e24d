"""What keeping a machine costs: asked of whoever has the price book, a room above this one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from forge.db import ports
from workspaces.models import WorkSpace


def monthly_price(workspace: WorkSpace, *, now: datetime) -> dict[str, Any] | None:
    """The price of a month in which nobody starts the machine, as `costs.quotes.of_keeping` has it; None = no price."""
    answers = ports.call_all("FORGE_KEEPING_PRICES", workspace=workspace, now=now)
    return next((answer for answer in answers if answer is not None), None)


def in_words(price: dict[str, Any] | None) -> str:
    """One sentence for people, rounded to cents."""
    if price is None:
        return "The price book has no price for it."
    said = f"Kept, it costs {price['amount']:,.2f} {price['currency']} a month even if nobody starts it"
    hourly = f", and {price['hourly']:,.2f} for each started hour" if price["hourly"] else ""
    return f"{said}{hourly} ({price['basis'].lower()}, price of {price['as_of']:%Y-%m-%d})."
