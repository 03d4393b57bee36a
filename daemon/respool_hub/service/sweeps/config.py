"""A sweep's configuration, as W&B writes it, checked once when the sweep is made."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

from respool.wire import macros
from respool_hub.service.refusal import refuse
from respool_hub.service.sweeps.distributions import Choice, Real, Whole
from respool_hub.service.sweeps.parameters import Space, number, space_of, wrong

METHODS = ("grid", "random", "bayes")
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
MAX_GRID = 10_000_000
MAX_ETA = 1000.0
MAX_COUNT = 1 << 53
_KEYS = frozenset(
    """
    apiVersion command description early_terminate entity kind method metric name parameters program project run_cap
    """.split()  # noqa: SIM905 - as a list it is twelve lines
)
_METRIC = frozenset({"name", "goal", "target", "impute", "impute_while_running"})
_TERMINATE = frozenset({"type", "min_iter", "max_iter", "s", "eta", "strict"})


class Hyperband(NamedTuple):
    """After how many logged values of the metric a run is compared with the others, and which share survives."""

    bands: tuple[int, ...]
    eta: float
    strict: bool


class Sweep(NamedTuple):
    """What a configuration means. `metric` is "" when there is none."""

    method: str
    space: Space
    metric: str = ""
    maximize: bool = False
    target: float | None = None
    hyperband: Hyperband | None = None
    run_cap: int | None = None
    program: str = ""
    command: tuple[str, ...] = DEFAULT_COMMAND
    name: str = ""
    description: str = ""


def sweep_of(config: Any) -> Sweep:
    """Raises RefusalError "bad-request" naming the key, its value and what is possible."""
    if not isinstance(config, dict):
        raise wrong("The sweep", config, "Write a map with method and parameters.")
    for key, value in config.items():
        if key not in _KEYS:
            raise wrong(f"The key {key}", value, f"A sweep has {', '.join(sorted(_KEYS))}.")
    method = config.get("method")
    if method not in METHODS:
        raise wrong("method", method, f"Use one of {', '.join(METHODS)}.")
    metric = _metric(config.get("metric"))
    hyperband = _hyperband(config.get("early_terminate"))
    if not metric["name"] and (method == "bayes" or hyperband):
        raise wrong(
            "metric", config.get("metric"), "bayes and early_terminate need it: {name: loss, goal: minimize}."
        )
    space = space_of(config.get("parameters"))
    if method == "grid":
        _check_grid(space)
    target = metric.get("target")
    return Sweep(
        method,
        space,
        metric["name"],
        metric.get("goal") == "maximize",
        None if target is None else number("metric.target", target),
        hyperband,
        _cap(config.get("run_cap")),
        _text("program", config.get("program")),
        _command(config.get("command")),
        _text("name", config.get("name")),
        _text("description", config.get("description")),
    )


def grid_values(key: str, distribution: Choice | Whole | Real) -> tuple[Any, ...] | range:
    """The points of one parameter on a grid. Raises RefusalError for what has none."""
    match distribution:
        case Choice(values, ()):
            return values
        case Whole(low, high):
            return range(low, high + 1)
        case Real("uniform", low, high, "linear", float(q)):
            count = int((high - low) / q + 1e-9) + 1
            if count > MAX_GRID:
                raise wrong(f"{key}.q", q, f"It makes {count} points; make it larger.")
            return tuple(dict.fromkeys(float(f"{low + index * q:.12g}") for index in range(count)))
    kind = "values with probabilities" if isinstance(distribution, Choice) else "a range without steps"
    advice = "Write its values, or min and max as whole numbers, or q_uniform with q; or use method: random."
    raise refuse("bad-request", f"{key} is {kind}, which a grid cannot walk through.", advice)


def _check_grid(space: Space) -> None:
    size = 1
    for path, distribution in space.items():
        size *= len(grid_values("parameters." + ".".join(path), distribution))
    if size > MAX_GRID:
        raise wrong("parameters", f"a grid of {size} points", f"Use at most {MAX_GRID}, or method: random.")


def _metric(told: Any) -> dict[str, Any]:
    if told is None:
        return {"name": ""}
    if not isinstance(told, dict) or not isinstance(told.get("name"), str) or not told["name"]:
        raise wrong("metric", told, "Write {name: loss, goal: minimize}.")
    for key, value in told.items():
        if key not in _METRIC:
            raise wrong(f"metric.{key}", value, f"It has {', '.join(sorted(_METRIC))}.")
    if told.get("goal", "minimize") not in ("minimize", "maximize"):
        raise wrong("metric.goal", told["goal"], "Use minimize or maximize.")
    return told


def _hyperband(told: Any) -> Hyperband | None:
    if told is None:
        return None
    if not isinstance(told, dict) or told.get("type") != "hyperband":
        raise wrong("early_terminate", told, "Write {type: hyperband, min_iter: 3}.")
    for key, value in told.items():
        if key not in _TERMINATE:
            raise wrong(f"early_terminate.{key}", value, f"It has {', '.join(sorted(_TERMINATE))}.")
    eta = number("early_terminate.eta", told.get("eta", 3), above=1.0, most=MAX_ETA)
    strict = told.get("strict", True)
    if not isinstance(strict, bool):
        raise wrong("early_terminate.strict", strict, "Use true or false.")
    return Hyperband(_bands(told, eta), eta, strict)


def _bands(told: dict[str, Any], eta: float) -> tuple[int, ...]:
    # W&B takes s beside min_iter, where it means nothing.
    if ("min_iter" in told) == ("max_iter" in told):
        raise wrong("early_terminate", told, "Give it either min_iter, or max_iter and s.")
    if "min_iter" in told:
        first = _count("early_terminate.min_iter", told["min_iter"])
        found = [first * eta**power for power in range(64)]
    else:
        most, times = (_count(f"early_terminate.{key}", told.get(key)) for key in ("max_iter", "s"))
        found = [most / eta**power for power in range(min(times, 64), 0, -1)]
    return tuple(sorted({int(band) for band in found if 1 <= band < 1 << 40}))


def _cap(value: Any) -> int | None:
    return None if value is None else _count("run_cap", value)


def _count(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < MAX_COUNT:
        raise wrong(key, value, f"Write a whole number from 1 to {MAX_COUNT - 1}.")
    return value


def _text(key: str, value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise wrong(key, value, "Write a text.")
    return value or ""


def _command(value: Any) -> tuple[str, ...]:
    if value is None:
        return DEFAULT_COMMAND
    words = _words(value) if isinstance(value, str) else value
    if (
        not isinstance(words, list)
        or not words
        or not all(isinstance(word, (str, int, float)) for word in words)
    ):
        raise wrong("command", value, f"Write a list of words, such as {list(DEFAULT_COMMAND)}.")
    for word in map(str, words):
        unknown = macros.unknown_in(word)
        if unknown is not None:
            raise wrong("command", unknown, f"It knows {macros.KNOWN}.")
    return tuple(map(str, words))


def _words(command: str) -> list[str]:
    """As a shell would split it."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise wrong("command", command, f"{error}: close it, or write a list of words.") from None
