"""From the spool to the hub, end to end: 500 000 rows of three floats that were logged while the hub was away.

The rows lie in the spool, synced, and their process is gone. Hub and daemon start; the clock runs from the
daemon's READY until the hub shows every row, committed (SQLite, synchronous=FULL). So the daemon's reading and
checking of the segments counts, and all three share the cores: daemon, hub, and whoever looks.
"""

from __future__ import annotations

import contextlib
import time
from typing import NamedTuple

from bench.hub_client import connect, run_at
from bench.report import Result, main, spread
from bench.stand import Stand, until


class Size(NamedTuple):
    rounds: int = 3
    rows: int = 500_000


FULL = Size()
TINY = Size(1, 500)
BUDGET = 50_000


class Measured(NamedTuple):
    wall: float
    daemon: float
    hub: float


def run(size: Size = FULL) -> list[Result]:
    found = [_round(size.rows) for _ in range(size.rounds)]
    wall = spread(one.wall for one in found)
    rate = size.rows / wall.median
    daemon, hub = (size.rows / spread(used).median for used in zip(*(one[1:] for one in found), strict=True))
    text = f"{rate:.0f} rows/s ({size.rows} in {wall.text('s', 2)})"
    each = f"daemon {daemon:.0f}, hub {hub:.0f} rows per second of CPU"
    times = f"{rate / BUDGET:.1f}x the budget"
    return [Result("spool → hub, embedded", text, each, times, "≥ 50 000 rows/s", rate >= BUDGET)]


def _round(rows: int) -> Measured:
    with Stand() as stand:
        away = stand.daemon(stand.hub_url)
        writer = stand.subject("respool")
        assert writer.ask(do="stream", rows=rows, rate=0)["durable"]
        stand.stop(writer)
        stand.stop(away)
        hub = stand.hub()
        daemon = stand.daemon(stand.hub_url)
        begin, cpu = time.perf_counter(), (daemon.cpu(), hub.cpu())
        with contextlib.closing(connect(stand)) as connection:
            until(120, lambda: (run_at(connection, "admin/bench/run").get("rows") or 0) >= rows)
        wall = time.perf_counter() - begin
        return Measured(wall, max(daemon.cpu() - cpu[0], 0.01), max(hub.cpu() - cpu[1], 0.01))


if __name__ == "__main__":
    main(run)
