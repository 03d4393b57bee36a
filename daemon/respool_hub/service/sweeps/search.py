"""Which point is tried next: a function of the configuration, a seed and the trials so far.

Nothing is remembered between calls, so a hub that was restarted, or another one, goes on as this one would have.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from respool_hub.service.sweeps.config import Sweep, grid_values
from respool_hub.service.sweeps.distributions import Choice
from respool_hub.service.sweeps.parameters import Path

Point = dict[str, float]
"""By dotted path: a place in [0, 1), or for a choice without probabilities the index of its value."""


class Trial(NamedTuple):
    """One point that was handed out. `value`: of the metric, None while it runs or when it has none."""

    point: Point
    value: float | None = None
    over: bool = False


class Suggestion(NamedTuple):
    """The next point, and the parameters that it means, nested as the configuration is."""

    point: Point
    parameters: dict[str, Any]


def suggest(sweep: Sweep, seed: int, number: int, trials: Sequence[Trial]) -> Suggestion | None:
    """The point of assignment `number`, counted from 0; None when a grid is used up."""
    match sweep.method:
        case "grid":
            values = _on_grid(sweep, number)
            return None if values is None else Suggestion({}, nested(values))
        case "bayes":
            from respool_hub.service.sweeps import bayes  # noqa: PLC0415 - loads Optuna, for those who search so

            point = bayes.suggest(sweep, seed, number, trials)
        case _:
            point = at_random(sweep, seed, number)
    return Suggestion(point, nested(_values(sweep, point)))


def grid_size(sweep: Sweep) -> int:
    """The points of a grid."""
    size = 1
    for path, distribution in sweep.space.items():
        size *= len(grid_values(".".join(path), distribution))
    return size


def at_random(sweep: Sweep, seed: int, number: int) -> Point:
    """A point by lot; the same for the same seed and number."""
    lot = random.Random(f"{seed}:{number}")  # noqa: S311 - a search, not a secret
    return {
        ".".join(path): float(distribution.index_at(lot.random()))
        if isinstance(distribution, Choice)
        else lot.random()
        for path, distribution in sweep.space.items()
    }


def nested(values: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    """Values by path as maps in maps."""
    found: dict[str, Any] = {}
    for path, value in values:
        at = found
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = value
    return found


def _values(sweep: Sweep, point: Point) -> list[tuple[Path, Any]]:
    found = []
    for path, distribution in sweep.space.items():
        place = point[".".join(path)]
        chosen = isinstance(distribution, Choice)
        found.append((path, distribution.values[int(place)] if chosen else distribution.at(place)))  # type: ignore[union-attr]
    return found


def _on_grid(sweep: Sweep, number: int) -> list[tuple[Path, Any]] | None:
    found = []
    for path, distribution in reversed(sweep.space.items()):
        values = grid_values(".".join(path), distribution)
        number, index = divmod(number, len(values))
        found.append((path, values[index]))
    return None if number else found[::-1]
