"""How the metrics of a run are summed up and along which axis: what define_metric() says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from respool.wire.summing import WAYS

HOW = (*WAYS, "none")
_ALSO = {"copy": "last", "best": "min"}
"""W&B's other words; `best` is the least unless its goal is `maximize`."""

Definitions = dict[str, Any]


class Metric(NamedTuple):
    """What define_metric() returns: W&B's scripts pass it on as `step_metric`."""

    name: str


class MetricNames(set[str]):
    """The names that were logged. While there are `patterns`, `heard` is called with those that are new, before
    their row is written.
    """

    def __init__(self, heard: Callable[[set[str]], None]) -> None:
        super().__init__()
        self.patterns: tuple[str, ...] = ()
        self._heard = heard

    def update(self, *names: Iterable[str]) -> None:
        """Add names."""
        new = set[str]().union(*names) - self if self.patterns else None
        super().update(*names)
        if new:
            self._heard(new)


def how_of(summary: Any, goal: Any) -> str | None:
    """One of HOW, or several with commas between, for what define_metric() was passed; None for what means nothing."""
    if not isinstance(summary, str):
        return None
    words = [_word(word, goal) for word in summary.split(",") if word.strip()]
    if not words or not set(words) <= set(HOW):
        return None
    return "none" if "none" in words else ",".join(dict.fromkeys(words))


def _word(text: str, goal: Any) -> str:
    word = text.strip().lower()
    if word == "best" and str(goal).lower().startswith("max"):
        return "max"
    return _ALSO.get(word, word)


def name_of(value: Any) -> str:
    """A metric's name from a text or from a Metric. Raises TypeError or ValueError."""
    name = value.name if isinstance(value, Metric) else value
    if not isinstance(name, str):
        raise TypeError(f"a name of type {type(name).__name__}, which is no text")
    if not name or "*" in name[:-1]:
        raise ValueError(f"the name {name[:60]!r}; a * may only be its end")
    return name


def patterns_of(metrics: Definitions) -> tuple[str, ...]:
    """Those of the defined names that stand for several, the longest first."""
    return tuple(sorted((name for name in metrics if name.endswith("*")), key=len, reverse=True))


def matched(metrics: Definitions, names: Iterable[str]) -> Definitions:
    """Definitions of `names` that patterns bring: of all that have none of their own."""
    patterns, found = patterns_of(metrics), Definitions()
    for name in names:
        known = metrics.get(name)
        if isinstance(known, dict) and "pattern" not in known:
            continue
        pattern = next((one for one in patterns if name.startswith(one[:-1])), None)
        said = metrics.get(pattern) if pattern is not None else None
        if isinstance(said, dict) and said.get("step_metric") != name:
            found[name] = {**said, "pattern": pattern}
    return {name: made for name, made in found.items() if metrics.get(name) != made}
