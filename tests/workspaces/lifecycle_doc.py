"""The parts of docs/lifecycle.md that are made from workspaces.lifecycle."""

from __future__ import annotations

from workspaces.lifecycle import ACTIONS, TABLE, TERMINAL_STATES


def moves() -> str:
    """The moves with their events as a Mermaid state diagram."""
    events: dict[tuple[str, str], list[str]] = {}
    for move in TABLE:
        events.setdefault((move.source.value, move.target.value), []).append(move.event.value)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> PENDING"]
    lines += [f"    {source} --> {target}: {', '.join(named)}" for (source, target), named in events.items()]
    lines += [f"    {state.value} --> [*]" for state in TERMINAL_STATES]
    return "\n".join([*lines, "```"])


def table() -> str:
    """Event by event: from where, to where, and who may bring it about."""
    sources: dict[tuple[str, str, str], list[str]] = {}
    for move in TABLE:
        sources.setdefault((move.event.value, move.target.value, move.who), []).append(move.source.value)
    rows = [
        f"| {event} | {', '.join(named)} | {target} | {who} |"
        for (event, target, who), named in sorted(sources.items(), key=lambda item: list(item[0]))
    ]
    return "\n".join(["| Event | From | To | Who |", "|---|---|---|---|", *rows])


def actions() -> str:
    """The actions and the states in which they are legal, as a table."""
    rows = [f"| {action} | {', '.join(state.value for state in states)} |" for action, states in ACTIONS.items()]
    return "\n".join(["| Action | In the states |", "|---|---|", *rows])
