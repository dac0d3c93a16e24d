"""The states of a machine as a drawing: what people, rules and workers bring about, from workspaces.lifecycle.

The moves that a look at AWS shows join nearly every state with every other; the table below the drawing has them.
"""

from __future__ import annotations

from math import hypot

from workspaces.lifecycle import TABLE, TERMINAL_STATES, Event, Move, State

PLACES = {
    State.PENDING: (90, 60),
    State.AVAILABLE: (360, 60),
    State.STOPPING: (630, 60),
    State.STOPPED: (630, 230),
    State.STARTING: (360, 230),
    State.TERMINATING: (360, 400),
    State.TERMINATED: (630, 400),
    State.FAILED: (90, 230),
}
WIDTH, HEIGHT, HALF_WIDTH, HALF_HEIGHT = 720, 450, 68, 22
LABELS = {(State.STOPPING, State.TERMINATING): 0.7, (State.PENDING, State.TERMINATING): 0.6}
"""How far along its move a label stands, where the middle is taken by another."""

SETTLED = {(State.STARTING, State.AVAILABLE), (State.STOPPING, State.STOPPED), (State.TERMINATING, State.TERMINATED)}
"""How a wish ends: of all moves seen in AWS, the ones on the usual way."""
_STYLE = """
  .state { fill: #eef2ff; stroke: #4f46e5; } .final { fill: #f4f4f5; stroke: #71717a; }
  .name { font: 600 13px system-ui, sans-serif; fill: #1e1b4b; text-anchor: middle; dominant-baseline: central; }
  .event { font: 12px system-ui, sans-serif; fill: #52525b; text-anchor: middle; paint-order: stroke; stroke: #fff;
    stroke-width: 4px; }
  .move { fill: none; stroke: #71717a; stroke-width: 1.4; marker-end: url(#tip); } .tip { fill: #71717a; }
  .ground { fill: #fff; }
"""


def drawn() -> list[Move]:
    """The moves that stand in the drawing."""
    return [move for move in TABLE if move.event != Event.SEEN or (move.source, move.target) in SETTLED]


def drawing() -> str:
    """The SVG, which needs nothing beside itself."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" width="{WIDTH}">',
        "<title>States of a machine and the moves between them</title>",
        f"<style>{_STYLE}</style>",
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
        ),
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        *(_arrow(move) for move in drawn()),
        *(_state(state) for state in State),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _state(state: State) -> str:
    x, y = PLACES[state]
    kind = "state final" if state in TERMINAL_STATES else "state"
    corner, size = f'x="{x - HALF_WIDTH}" y="{y - HALF_HEIGHT}"', f'width="{2 * HALF_WIDTH}" height="{2 * HALF_HEIGHT}"'
    box = f'<rect class="{kind}" {corner} {size} rx="8"/>'
    return f'{box}<text class="name" x="{x}" y="{y}">{state.value}</text>'


def _arrow(move: Move) -> str:
    (x1, y1), (x2, y2) = PLACES[move.source], PLACES[move.target]
    bend = _bend(move)
    middle = ((x1 + x2) / 2 + bend[0], (y1 + y2) / 2 + bend[1])
    start, end = _edge((x1, y1), middle), _edge((x2, y2), middle)
    label = _along(start, middle, end, LABELS.get((move.source, move.target), 0.5))
    path = f'<path class="move" d="M{_at(start)} Q{_at(middle)} {_at(end)}"/>'
    return f'{path}<text class="event" x="{label[0]:.0f}" y="{label[1]:.0f}">{move.event.value}</text>'


def _bend(move: Move) -> tuple[float, float]:
    """How far a move swings out, so that it runs through no other state."""
    return {
        (State.AVAILABLE, State.TERMINATING): (-190, 0),
        (State.STOPPING, State.TERMINATING): (-10, 30),
        (State.PENDING, State.TERMINATING): (-40, 60),
        (State.STOPPED, State.TERMINATING): (20, 20),
    }.get((move.source, move.target), (0, 0))


def _edge(centre: tuple[float, float], towards: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the middle of a box to `towards` leaves the box."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    length = hypot(dx, dy) or 1
    share = min(HALF_WIDTH / abs(dx) if dx else 9e9, HALF_HEIGHT / abs(dy) if dy else 9e9)
    return centre[0] + dx * share + 2 * dx / length, centre[1] + dy * share + 2 * dy / length


def _along(
    start: tuple[float, float], middle: tuple[float, float], end: tuple[float, float], share: float
) -> tuple[float, float]:
    """The point of the curve (quadratic, by its three points) at this share of its way, a little above it."""
    weights = ((1 - share) ** 2, 2 * share * (1 - share), share**2)
    x, y = (sum(w * p[axis] for w, p in zip(weights, (start, middle, end), strict=True)) for axis in (0, 1))
    return x, y - 5


def _at(point: tuple[float, float]) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
