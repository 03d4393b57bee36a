"""`log()` while the daemon is stopped (SIGSTOP): the trainer must not notice.

One trainer, turns with the daemon running and stopped. Then long turns under a stopped daemon that outgrow both
segments that were handed over, so that the trainer goes on in the file it has.
"""

from __future__ import annotations

import signal
from typing import Any, NamedTuple

from bench.hub_client import rows_of
from bench.report import Result, main, paired, spread
from bench.stand import Process, Stand


class Size(NamedTuple):
    rounds: int = 7
    calls: int = 20_000
    beyond: int = 300_000
    beyond_rounds: int = 3


FULL = Size()
TINY = Size(1, 100, 200, 1)
BUDGET = "unchanged: ≤ 1.2x"
UNCHANGED = 1.2


def run(size: Size = FULL) -> list[Result]:
    with Stand() as stand:
        stand.hub()
        daemon = stand.daemon(stand.hub_url)
        subject = stand.subject("respool")
        running, stopped = [], []
        for _ in range(size.rounds):
            running.append(_turn(subject, size.calls))
            stopped.append(_turn(subject, size.calls, daemon))
        beyond = [_turn(subject, size.beyond, daemon) for _ in range(size.beyond_rounds)]
        logged = 2 * size.rounds * size.calls + size.beyond_rounds * size.beyond
        kept = rows_of(stand, "admin/bench/run")
        assert kept == logged, f"{logged} rows were logged, {kept} are at the hub"
    up, after = spread(one["p50"] for one in running), spread(one["p50"] for one in beyond)
    what = f"`log()`, daemon stopped, {size.beyond} rows (past both segments), p50"
    shown = f"daemon running p50 {up.text('µs')}"
    return [
        *(_compared(name, running, stopped) for name in ("p50", "p99")),
        Result(what, after.text("µs"), shown, f"{after.median / up.median:.2f}x"),
    ]


def _turn(subject: Process, calls: int, daemon: Process | None = None) -> dict[str, Any]:
    if daemon is not None:
        daemon.signal(signal.SIGSTOP)
    try:
        return subject.ask(do="log", calls=calls, gap=0)
    finally:
        if daemon is not None:
            daemon.signal(signal.SIGCONT)
        assert subject.ask(do="settle")["settled"], "the hub did not get everything in time"


def _compared(name: str, running: list[dict[str, Any]], stopped: list[dict[str, Any]]) -> Result:
    up, down = spread(one[name] for one in running), spread(one[name] for one in stopped)
    ratio = paired((one[name] for one in stopped), (one[name] for one in running))
    shown = f"daemon running {up.text('µs')}"
    what = f"`log()`, daemon stopped, {name}"
    return Result(what, down.text("µs"), shown, f"{ratio:.2f}x", BUDGET, ratio <= UNCHANGED)


if __name__ == "__main__":
    main(run)
