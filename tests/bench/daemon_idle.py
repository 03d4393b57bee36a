"""What a daemon costs while it has nothing to do: eight attached processes that log nothing, a hub that answers."""

from __future__ import annotations

import time
from typing import NamedTuple

from bench.report import Result, main
from bench.stand import Stand


class Size(NamedTuple):
    writers: int = 8
    settle: float = 4.0
    seconds: float = 10.0


FULL = Size()
TINY = Size(1, 0.1, 0.2)


def run(size: Size = FULL) -> list[Result]:
    with Stand() as stand:
        stand.hub()
        daemon = stand.daemon(stand.hub_url)
        for at in range(size.writers):
            stand.subject("respool", run=f"run-{at}")
        time.sleep(size.settle)
        cpu = daemon.cpu()
        time.sleep(size.seconds)
        share, resident = (daemon.cpu() - cpu) / size.seconds, daemon.rss()
    what = f"daemon idle, {size.writers} attached processes"
    over = f"over {size.seconds:.0f} s"
    return [
        Result(
            f"{what}, CPU",
            f"{share:.1%} of a core {over} (the clock ticks at {0.01 / size.seconds:.1%})",
            "",
            "",
            "≤ 1 %",
            share <= 0.01,
        ),
        Result(f"{what}, memory", f"{resident:.0f} MiB resident", "", "", "≤ 60 MiB", resident <= 60),
    ]


if __name__ == "__main__":
    main(run)
