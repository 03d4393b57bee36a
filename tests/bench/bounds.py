"""What the calls of a training loop cost while something is wrong: `init()`, `log()`, `save()`, `finish()`.

Each fault twice: there before the trainer begins, and coming while it trains. The trainer's own clock, a fresh
process each time. `init()` is timed where the fault was there first, and once more by a second trainer, which
meets a daemon that knows of it by then. Shown is the worst of all rounds, for a bound is one only if it always holds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bench.faults import ALL, Fault, Healthy, HubDead
from bench.report import Result, main
from bench.stand import Stand

Times = dict[str, Any]
PROMPT = 0.5
"""Seconds for a call that waits for nobody: disk, imports and a busy machine included."""

SLOWEST = 0.1
"""Seconds of the slowest log(), which waits for nobody ever."""

UNCHANGED = 2.0


class Size(NamedTuple):
    rounds: int = 3
    faults: tuple[type[Fault], ...] = ALL


FULL = Size()
TINY = Size(1, (Healthy, HubDead))


def run(size: Size = FULL) -> list[Result]:
    results, compared = list[Result](), dict[int, float]()
    for fault in size.faults:
        if not fault.possible():
            print(f"{fault.name}: left out, this user cannot make it.")
            continue
        lives = [lived(fault, early=early) for early in (True, False) for _ in range(size.rounds)]
        if fault.pad not in compared:
            compared[fault.pad] = _p50(lives) if fault is Healthy else _p50([_padded(fault.pad)])
        results += _judged(fault, lives, compared[fault.pad])
    return results


def lived(fault: type[Fault], *, early: bool) -> Times:
    """The answers of a trainer's calls; with `early` also how long the init() of a second trainer took."""
    with Stand() as stand:
        scene = fault(stand)
        scene.begin()
        try:
            return _life(scene, early=early)
        finally:
            scene.relieve()


def _life(scene: Fault, *, early: bool) -> Times:
    if early:
        scene.strike()
    patient = scene.patient()
    begun = patient.ask(do="init")
    if not early:
        patient.ask(do="log", calls=100)
        scene.strike()
    found = {"log": patient.ask(do="log", calls=scene.calls, pad=scene.pad)}
    found["save"] = patient.ask(do="save")
    found["more"] = patient.ask(do="log", calls=scene.calls, pad=scene.pad)
    found["finish"] = patient.ask(do="finish")
    return found | {"init": begun, "again": scene.patient().ask(do="init")} if early else found


def _padded(pad: int) -> Times:
    """A life with nothing wrong and rows of that size."""

    class Padded(Healthy):
        pass

    Padded.pad = pad
    return lived(Padded, early=False)


def _p50(lives: list[Times]) -> float:
    return min(one["log"]["p50"] for one in lives)


def _judged(fault: type[Fault], lives: list[Times], healthy: float) -> list[Result]:
    calls = (("`init()`", "init"), ("`init()`, the next trainer", "again"), ("`save()`", "save"))
    waited = [_waited(fault, lives, what, call) for what, call in (*calls, ("`finish()`", "finish"))]
    return [*waited, _logged(fault, lives, healthy)]


def _waited(fault: type[Fault], lives: list[Times], what: str, call: str) -> Result:
    took = max(one[call]["seconds"] for one in lives if call in one)
    bound = fault.waits.get(call, 0.0) + PROMPT
    return Result(
        f"{fault.name}: {what}", f"{took * 1000:.0f} ms", "", "", f"≤ {bound * 1000:.0f} ms", took <= bound
    )


def _logged(fault: type[Fault], lives: list[Times], healthy: float) -> Result:
    slowest = max(one[turn]["max"] for one in lives for turn in ("log", "more"))
    p50 = _p50(lives)
    lost = max(one["more"]["lost"] for one in lives)
    told = f"p50 {p50:.1f} µs, slowest {slowest / 1000:.1f} ms" + (
        f", {lost} rows counted as lost" * bool(lost)
    )
    return Result(
        f"{fault.name}: `log()`",
        told,
        f"nothing wrong p50 {healthy:.1f} µs",
        f"{p50 / healthy:.2f}x",
        f"p50 ≤ {UNCHANGED:.0f}x, slowest ≤ {SLOWEST * 1000:.0f} ms",
        p50 <= UNCHANGED * healthy and slowest <= SLOWEST * 1e6,
    )


if __name__ == "__main__":
    main(run)
