"""The distributions of a sweep's parameters, each as its quantile function: from [0, 1) to values.

So a search sees one unit interval per parameter, whatever its scale: logarithmic ones are linear there.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

_EDGE = 1e-12
_EXACT = 1 << 53
"""From here on neighbouring floats are further apart than multiples of q."""


class Choice(NamedTuple):
    """One of `values`, with these probabilities; without any, all alike."""

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] = ()

    def at(self, unit: float) -> Any:
        return self.values[self.index_at(unit)]

    def index_at(self, unit: float) -> int:
        if not self.probabilities:
            return min(int(unit * len(self.values)), len(self.values) - 1)
        total = 0.0
        for index, share in enumerate(self.probabilities):
            total += share
            if unit < total:
                return index
        return max(index for index, share in enumerate(self.probabilities) if share > 0)


class Whole(NamedTuple):
    """Integers from `low` to `high`, both included."""

    low: int
    high: int

    def at(self, unit: float) -> int:
        return min(self.low + int(unit * (self.high - self.low + 1)), self.high)


class Real(NamedTuple):
    """A number of `shape` (uniform, normal or beta) with parameters `a` and `b`, after `scale` (linear, log: its
    exponential, inverse: one over that), rounded to multiples of `q` if given.
    """

    shape: str
    a: float
    b: float
    scale: str = "linear"
    q: float | None = None

    def at(self, unit: float) -> float:
        value = self._scaled(self._raw(unit))
        return value if self.q is None else _rounded(value, self.q)

    def _raw(self, unit: float) -> float:
        if self.shape == "uniform":
            return self.a + unit * (self.b - self.a)
        inside = min(max(unit, _EDGE), 1 - _EDGE)
        if self.shape == "normal":
            return self.a + self.b * NormalDist().inv_cdf(inside)
        return beta_quantile(inside, self.a, self.b)

    def _scaled(self, raw: float) -> float:
        match self.scale:
            case "log":
                return math.exp(min(raw, 700.0))
            case "inverse":
                return math.exp(min(-raw, 700.0))
        return raw


Distribution = Choice | Whole | Real


def _rounded(value: float, q: float) -> float:
    if not abs(value / q) < _EXACT:
        return value
    # Through a decimal text, so that 3 * 0.1 is 0.3.
    found = float(f"{round(value / q) * q:.12g}")
    return int(found) if float(q).is_integer() and found.is_integer() else found


def beta_quantile(unit: float, a: float, b: float) -> float:
    """The x in (0, 1) below which a beta distribution has the share `unit`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _beta_below(middle, a, b) < unit:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_below(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    found = d
    for m in range(1, 300):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            found *= d * c
        if abs(d * c - 1.0) < 1e-13:
            break
    return found
