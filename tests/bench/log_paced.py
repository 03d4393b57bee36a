"""`log()` once every 20 ms: what a training loop feels, with cold caches and a CPU that has been idle.

Against the floor, paced alike, and `wandb.log` offline (pip install wandb==0.31.0). The subjects take turns of
50 calls each.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.report import Result, main, paired, quantile, spread
from bench.stand import Stand, has_wandb


class Size(NamedTuple):
    rounds: int = 6
    calls: int = 50
    gap: float = 0.02
    peer: bool = True


FULL = Size()
TINY = Size(1, 5, 0.005, peer=False)


def run(size: Size = FULL) -> list[Result]:
    kinds = ["floor", "respool", *(["wandb"] if size.peer and has_wandb() else [])]
    with Stand() as stand:
        stand.hub()
        stand.daemon(stand.hub_url)
        subjects = {kind: stand.subject(kind) for kind in kinds}
        medians: dict[str, list[float]] = {kind: [] for kind in kinds}
        calls: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(size.rounds):
            for kind in kinds:
                answer = subjects[kind].ask(do="log", calls=size.calls, gap=size.gap)
                medians[kind].append(answer["p50"])
                calls[kind] += answer["raw"]
    return _judge(medians, calls)


def _judge(medians: dict[str, list[float]], calls: dict[str, list[float]]) -> list[Result]:
    ours, floor = medians["respool"], medians["floor"]
    measured, ratio = spread(ours).text("µs"), paired(ours, floor)
    shown = f"floor p50 {spread(floor).text('µs')}"
    what = "`log()` once per 20 ms, p50"
    results = [Result(what, measured, shown, f"{ratio:.2f}x", "≤ 2x the floor", ratio <= 2)]
    late = {kind: quantile(sorted(found), 0.99) for kind, found in calls.items()}
    ratio99 = f"{late['respool'] / late['floor']:.2f}x"
    shown99 = f"floor p99 {late['floor']:.0f} µs"
    results.append(Result("`log()` once per 20 ms, p99", f"{late['respool']:.0f} µs", shown99, ratio99))
    if "wandb" in medians:
        peer = medians["wandb"]
        text = f"wandb.log offline p50 {spread(peer).text('µs', 0)}"
        faster = f"{paired(peer, ours):.0f}x faster"
        results.append(Result("`log()` once per 20 ms, against W&B", measured, text, faster))
    return results


if __name__ == "__main__":
    main(run)
