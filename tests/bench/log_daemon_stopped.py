"""`log()` while the daemon is stopped (SIGSTOP): the trainer must not notice.

One trainer, turns with the daemon running and stopped. Then one long turn under a stopped daemon that outgrows
both segments that were handed over, so that the trainer goes on in the file it has.
"""

from __future__ import annotations

import signal
from typing import Any, NamedTuple

from bench.hub_client import rows_of
from bench.report import Result, main, spread
from bench.stand import Process, Stand


class Size(NamedTuple):
    rounds: int = 7
    calls: int = 20_000
    beyond: int = 400_000


FULL = Size()
TINY = Size(1, 100, 200)
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
        beyond = _turn(subject, size.beyond, daemon)
        logged = 2 * size.rounds * size.calls + size.beyond
        kept = rows_of(stand, "admin/bench/run")
        assert kept == logged, f"{logged} rows were logged, {kept} are at the hub"
    return [
        *(_compared(name, running, stopped) for name in ("p50", "p99")),
        Result(
            f"`log()`, daemon stopped, {size.beyond} rows (past both segments), p50",
            f"{beyond['p50']:.1f} µs",
            f"daemon running p50 {spread(one['p50'] for one in running).text('µs')}",
            f"{beyond['p50'] / spread(one['p50'] for one in running).median:.2f}x",
        ),
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
    ratio = down.median / up.median
    shown = f"daemon running {up.text('µs')}"
    what = f"`log()`, daemon stopped, {name}"
    return Result(what, down.text("µs"), shown, f"{ratio:.2f}x", BUDGET, ratio <= UNCHANGED)


if __name__ == "__main__":
    main(run)
