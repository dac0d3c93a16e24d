"""The parts of docs/lifecycle.md that are made from workspaces.lifecycle."""

from __future__ import annotations

from workspaces.lifecycle import ACTIONS, MOVES, TERMINAL_STATES


def moves() -> str:
    """The moves as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> PENDING"]
    lines += [f"    {source.value} --> {target.value}" for source, targets in MOVES.items() for target in targets]
    lines += [f"    {state.value} --> [*]" for state in TERMINAL_STATES]
    return "\n".join([*lines, "```"])


def actions() -> str:
    """The actions and the states in which they are legal, as a table."""
    rows = [f"| {action} | {', '.join(state.value for state in states)} |" for action, states in ACTIONS.items()]
    return "\n".join(["| Action | In the states |", "|---|---|", *rows])
