"""What a benchmark measured, and how it is shown."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple


class Result(NamedTuple):
    """One row of the table. `met` is None where there is no budget to meet."""

    what: str
    measured: str
    reference: str = ""
    ratio: str = ""
    budget: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "**missed**", None: ""}[self.met]


class Spread(NamedTuple):
    """A number measured in several rounds: noise only ever adds, so the least is the machine's own word, the
    median what one gets.
    """

    least: float
    median: float

    def text(self, unit: str, digits: int = 1) -> str:
        return f"{self.median:.{digits}f} {unit} (min {self.least:.{digits}f})"


HEAD = ("benchmark", "measured", "floor or peer", "ratio", "budget", "met")
COLUMNS = len(HEAD)


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(min(found), statistics.median(found))


def paired(over: Iterable[float], under: Iterable[float]) -> float:
    """The median of the rounds' own ratios: what slows a whole round down slows both of its turns."""
    return statistics.median(one / other for one, other in zip(over, under, strict=True))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(results: Iterable[Result]) -> str:
    """A markdown table."""
    rows = [
        HEAD,
        ("---",) * COLUMNS,
        *((one.what, one.measured, one.reference, one.ratio, one.budget, one.verdict) for one in results),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    """Where and when this was measured."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    disk = file_system(tempfile.gettempdir())
    python = platform.python_version()
    return (
        f"{cores} cores, Linux {platform.release()}, Python {python}, spool on {disk}, "
        f"load {load:.1f} at the start, {time.strftime('%Y-%m-%d')}"
    )


def file_system(path: str) -> str:
    """The type of the file system that `path` lies on."""
    best = ("", "?")
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            point, kind = line.split()[1:3]
            if os.path.realpath(path).startswith(point) and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1]


def show(results: Iterable[Result]) -> None:
    """Each result in lines of its own, for reading while the rest still runs."""
    for one in results:
        print(f"{one.what}: {one.measured}")
        if one.reference:
            print(f"    against {one.reference}" + (f": {one.ratio}" if one.ratio else ""))
        if one.budget:
            print(f"    budget {one.budget}: {one.verdict.strip('*')}")
    sys.stdout.flush()


def main(run: Callable[[], list[Result]]) -> None:
    """What `python -m bench.NAME` does. With RESPOOL_BENCH_RESULTS=FILE the results also go there as JSON."""
    print(machine())
    results = run()
    show(results)
    path = os.environ.get("RESPOOL_BENCH_RESULTS")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(results, file)
