"""`parameters:` of a sweep: each checked, and turned into a distribution under its path."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.service.sweeps.distributions import Choice, Distribution, Real, Whole

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
MAX_DEPTH = 16
MAX_PARAMETERS = 1000
MAX_VALUES = 100_000
MAX_WHOLE = (1 << 63) - 1
MAX_NUMBER = 1e100
"""So that no sum, product or quotient of two of them leaves what a float holds; 1 / MAX_NUMBER where 0 may not be."""
MAX_SHAPE = 1e6
"""Of a beta distribution: beyond it the incomplete beta function loses its digits."""
Path = tuple[str, ...]
Space = dict[Path, Distribution]
_CATEGORICAL = frozenset({"values", "probabilities"})


def wrong(key: str, value: Any, advice: str) -> RefusalError:
    """The error for a key whose value cannot be."""
    return refuse("bad-request", f"{key} is {value!r:.80}, which cannot be.", advice)


def space_of(parameters: Any) -> Space:
    """The distributions by path. Raises RefusalError "bad-request" that names the key and its value."""
    if not isinstance(parameters, dict) or not parameters:
        raise wrong("parameters", parameters, "Write a map from each parameter's name to what it may be.")
    space, names = dict[Path, Distribution](), set[str]()
    for path, distribution in _walk(parameters, ()):
        name = ".".join(path)
        if name in names:
            said = "given twice: with a dot in its name, and nested"
            raise wrong(f"parameters.{name}", said, "Give one of them another name.")
        names.add(name)
        space[path] = distribution
    if len(space) > MAX_PARAMETERS:
        raise wrong("parameters", f"{len(space)} names", f"Use at most {MAX_PARAMETERS}.")
    return space


def _walk(parameters: dict[Any, Any], above: Path) -> Iterator[tuple[Path, Distribution]]:
    for name, told in parameters.items():
        path = (*above, str(name))
        key = "parameters." + ".".join(path)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise wrong(
                f"A name in {key}", name, "Begin with a letter or _, go on with letters, digits, _ . -."
            )
        if not isinstance(told, dict):
            raise wrong(key, told, "Write a map, such as {value: 1} or {min: 0.1, max: 1}.")
        if "parameters" not in told:
            yield path, _leaf(key, told)
        elif (
            set(told) != {"parameters"} or not isinstance(told["parameters"], dict) or len(path) >= MAX_DEPTH
        ):
            raise wrong(key, told, f"A nested one has `parameters` only, {MAX_DEPTH} deep at most.")
        else:
            yield from _walk(told["parameters"], path)


def _leaf(key: str, told: dict[str, Any]) -> Distribution:
    kind = told.get("distribution") or _implied(key, told)
    build = _KINDS.get(kind) if isinstance(kind, str) else None
    if build is None:
        raise wrong(f"{key}.distribution", kind, f"Use one of {', '.join(_KINDS)}.")
    allowed = _ALLOWED[kind] | {"distribution"}
    for name, value in told.items():
        if name not in allowed:
            raise wrong(f"{key}.{name}", value, f"{kind} knows {', '.join(sorted(allowed))} only.")
    return build(key, told)


def _implied(key: str, told: dict[str, Any]) -> str:
    if "value" in told:
        return "constant"
    if "probabilities" in told:
        return "categorical_w_probabilities"
    if "values" in told:
        return "categorical"
    if "min" in told and "max" in told:
        whole = all(isinstance(told[side], int) for side in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    if "mu" in told or "sigma" in told:
        return "normal"
    raise wrong(key, told, "Give it value, values, or min and max, or name its distribution.")


def number(key: str, value: Any, *, above: float = -math.inf, most: float = MAX_NUMBER) -> float:
    """A number greater than `above`, by 1 / MAX_NUMBER at least, and at most `most`. Raises RefusalError."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and -MAX_NUMBER <= value <= most
    if not good or value <= above or value - above < 1 / MAX_NUMBER:
        limit = f"from {-MAX_NUMBER:g}" if above == -math.inf else f"above {above:g}"
        raise wrong(key, value, f"Write a number {limit} up to {most:g}.")
    return float(value)


def _constant(key: str, told: dict[str, Any]) -> Choice:
    if "value" not in told:
        raise wrong(f"{key}.value", None, "A constant needs its value.")
    return Choice((_value(f"{key}.value", told["value"]),))


def _categorical(key: str, told: dict[str, Any]) -> Choice:
    values = told.get("values")
    if not isinstance(values, list) or not 0 < len(values) <= MAX_VALUES:
        raise wrong(f"{key}.values", values, f"Write a list of 1 to {MAX_VALUES} values.")
    return Choice(tuple(_value(f"{key}.values[{index}]", value) for index, value in enumerate(values)))


def _value(key: str, value: Any, depth: int = 0) -> Any:
    """What a trainer may be told to use: plain values that JSON and msgpack both hold. Raises RefusalError."""
    match value:
        case float() if not math.isfinite(value):
            raise wrong(key, value, "Write a number that is finite, or its name as a text.")
        case int() if not -MAX_WHOLE <= value <= MAX_WHOLE:
            raise wrong(
                key, value, f"Write a whole number from {-MAX_WHOLE} to {MAX_WHOLE}, or it as a text."
            )
        case dict() | list() if depth >= MAX_DEPTH:
            raise wrong(key, value, f"Values nest {MAX_DEPTH} deep at most.")
        case dict():
            return {str(name): _value(f"{key}.{name}", item, depth + 1) for name, item in value.items()}
        case list():
            return [_value(f"{key}[{index}]", item, depth + 1) for index, item in enumerate(value)]
        case None | bool() | int() | float() | str():
            return value
    raise wrong(key, value, "Write a text, a number, true, false or null, or lists and maps of those.")


def _weighted(key: str, told: dict[str, Any]) -> Choice:
    values, shares = _categorical(key, told).values, told.get("probabilities")
    if not isinstance(shares, list) or len(shares) != len(values):
        raise wrong(f"{key}.probabilities", shares, f"Write {len(values)} numbers, one for each value.")
    found = [number(f"{key}.probabilities[{index}]", share) for index, share in enumerate(shares)]
    if min(found) < 0 or not math.isclose(sum(found), 1.0, abs_tol=1e-6):
        raise wrong(f"{key}.probabilities", shares, "They are 0 or more and sum up to 1.")
    return Choice(values, tuple(found))


def _whole(key: str, told: dict[str, Any]) -> Whole:
    low, high = told.get("min"), told.get("max")
    for side, value in (("min", low), ("max", high)):
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 53:
            raise wrong(f"{key}.{side}", value, "int_uniform needs whole numbers; for others: uniform.")
    assert isinstance(low, int)
    assert isinstance(high, int)
    if low > high:
        raise wrong(f"{key}.min", low, f"It may not be above max, which is {high}.")
    return Whole(low, high)


def _range(scale: str, *, values: bool = False) -> Callable[[str, dict[str, Any]], Real]:
    def build(key: str, told: dict[str, Any]) -> Real:
        floor = 0.0 if values else -math.inf
        low, high = (number(f"{key}.{side}", told.get(side), above=floor) for side in ("min", "max"))
        if low > high:
            raise wrong(f"{key}.min", told["min"], f"It may not be above max, which is {told['max']!r}.")
        if values:
            low, high = math.log(low), math.log(high)
        if values and scale == "inverse":
            low, high = -high, -low
        if scale != "linear" and max(abs(low), abs(high)) > 700:
            raise wrong(
                f"{key}.max", told["max"], "min and max are exponents here; for values: log_uniform_values."
            )
        return Real("uniform", low, high, scale, _q(key, told))

    return build


def _bell(shape: str, scale: str, first: str, second: str, *, origin: float) -> Callable[..., Real]:
    def build(key: str, told: dict[str, Any]) -> Real:
        floor, most = (0.0, MAX_SHAPE) if shape == "beta" else (-math.inf, MAX_NUMBER)
        a = number(f"{key}.{first}", told.get(first, origin), above=floor, most=most)
        b = number(f"{key}.{second}", told.get(second, 1.0), above=0.0, most=most)
        return Real(shape, a, b, scale, _q(key, told))

    return build


def _q(key: str, told: dict[str, Any]) -> float | None:
    name = str(told.get("distribution") or "")
    return number(f"{key}.q", told.get("q", 1), above=0.0) if name.startswith("q_") else None


_EDGES = frozenset({"min", "max"})
_NORMAL = _bell("normal", "linear", "mu", "sigma", origin=0.0)
_LOG_NORMAL = _bell("normal", "log", "mu", "sigma", origin=0.0)
_BETA = _bell("beta", "linear", "a", "b", origin=1.0)
_TABLE: tuple[tuple[str, Callable[[str, dict[str, Any]], Distribution], frozenset[str]], ...] = (
    ("constant", _constant, frozenset({"value"})),
    ("categorical", _categorical, frozenset({"values"})),
    ("categorical_w_probabilities", _weighted, _CATEGORICAL),
    ("int_uniform", _whole, _EDGES),
    ("uniform", _range("linear"), _EDGES),
    ("log_uniform", _range("log"), _EDGES),
    ("inv_log_uniform", _range("inverse"), _EDGES),
    ("log_uniform_values", _range("log", values=True), _EDGES),
    ("inv_log_uniform_values", _range("inverse", values=True), _EDGES),
    ("normal", _NORMAL, frozenset({"mu", "sigma"})),
    ("log_normal", _LOG_NORMAL, frozenset({"mu", "sigma"})),
    ("beta", _BETA, frozenset({"a", "b"})),
)
_ROUNDED = ("uniform", "log_uniform", "log_uniform_values", "normal", "log_normal", "beta")
_KINDS = {name: build for name, build, _ in _TABLE} | {
    f"q_{name}": build for name, build, _ in _TABLE if name in _ROUNDED
}
_ALLOWED = {name: keys for name, _, keys in _TABLE} | {
    f"q_{name}": keys | {"q"} for name, _, keys in _TABLE if name in _ROUNDED
}
