"""`run.checkpoint()`, plain and staged: how long the trainer is blocked, against torch.save to the same disk.

The three ways take turns. A staged one's first turn makes its memory and does not count.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.report import Result, main, paired, spread
from bench.stand import Stand

PLAIN, STAGED = 1.1, 0.3


class Size(NamedTuple):
    state: int = 512 << 20
    rounds: int = 5


FULL = Size()
TINY = Size(32 << 20, 1)
KINDS = ("plain", "checkpoint", "staged")


def run(size: Size = FULL) -> list[Result]:
    with Stand() as stand:
        stand.hub()
        stand.daemon(RESPOOL_HUB_URL="")
        env = {"RESPOOL_SOCKET": stand.socket()}
        saver = stand.start(["-m", "bench.saver", str(size.state)], "saver", **env)
        saver.line()
        for kind in KINDS:
            saver.ask(do=kind)
        taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(size.rounds):
            for kind in KINDS:
                taken[kind].append(saver.ask(do=kind)["seconds"])
    floor = spread(taken["plain"]).text("s", 2)
    results = []
    for kind, budget in (("checkpoint", PLAIN), ("staged", STAGED)):
        ratio = paired(taken[kind], taken["plain"])
        results.append(
            Result(
                f"run.checkpoint(){' staged' if kind == 'staged' else ''} of {size.state >> 20} MiB",
                spread(taken[kind]).text("s", 2),
                f"torch.save to the same disk, {floor}",
                f"{ratio:.2f}x",
                f"at most {budget}x",
                ratio <= budget,
            )
        )
    return results


if __name__ == "__main__":
    main(run)
