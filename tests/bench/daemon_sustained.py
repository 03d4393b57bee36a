"""How many records a second the daemon makes durable: found in the segments, checked, synced.

Eight processes log rows of three floats, first at a steady rate that together is above the budget, then as fast
as they can. It ends when the daemon has told each of them that everything it wrote is on disk. Counted is the
daemon's own CPU, all threads, because trainers share the cores here. There is no hub: sending is another
benchmark.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from bench.report import Result, main
from bench.stand import Process, Stand


class Size(NamedTuple):
    writers: int = 8
    seconds: float = 8.0
    rate: int = 112_000
    flat_out: int = 100_000


FULL = Size()
TINY = Size(2, 0.2, 2_000, 200)
BUDGET = 100_000


def run(size: Size = FULL) -> list[Result]:
    with Stand() as stand:
        daemon = stand.daemon(RESPOOL_ROWS_QUOTA="8G")
        writers = [stand.subject("respool", run=f"run-{at}") for at in range(size.writers)]
        each = int(size.rate * size.seconds / size.writers)
        steady = _measure(daemon, writers, each, size.rate / size.writers)
        flat = _measure(daemon, writers, size.flat_out, 0)
        resident = daemon.rss()
    return [
        Result(
            f"daemon, {size.writers} writers at {size.rate} records/s, no hub",
            f"{steady.per_cpu:.0f} durable records per second of its CPU ({steady.share:.0%} of a core); "
            f"durable {steady.lag * 1000:.0f} ms after the last row",
            f"{steady.per_second:.0f} records/s durable by the clock",
            f"{steady.per_cpu / BUDGET:.1f}x the budget",
            "≥ 100 000 records/s on one core",
            steady.per_cpu >= BUDGET and steady.per_second >= min(BUDGET, 0.9 * size.rate),
        ),
        Result(
            f"daemon, {size.writers} writers flat out, no hub",
            f"{flat.per_cpu:.0f} durable records per second of its CPU ({resident:.0f} MiB afterwards)",
            f"{flat.per_second:.0f} records/s durable by the clock, cores shared with the writers",
            f"{flat.per_cpu / BUDGET:.1f}x the budget",
        ),
    ]


class Measured(NamedTuple):
    records: int
    wall: float
    cpu: float
    lag: float

    @property
    def per_second(self) -> float:
        return self.records / self.wall

    @property
    def per_cpu(self) -> float:
        return self.records / max(self.cpu, 1e-9)

    @property
    def share(self) -> float:
        return self.cpu / self.wall


def _measure(daemon: Process, writers: list[Process], each: int, rate: float) -> Measured:
    begin, cpu = time.perf_counter(), daemon.cpu()
    for writer in writers:
        writer.tell(do="stream", rows=each, rate=rate)
    answers = [writer.answer() for writer in writers]
    wall, used = time.perf_counter() - begin, daemon.cpu() - cpu
    assert all(answer["durable"] for answer in answers), "the daemon did not say that all is durable"
    return Measured(each * len(writers), wall, used, max(answer["flush"] for answer in answers))


if __name__ == "__main__":
    main(run)
