"""`log()` of three floats, one call after the other, while the daemon syncs and uploads to a hub.

Against the floor, `sock.send(msgpack.packb(row))`, and against `wandb.log` offline (pip install wandb==0.31.0).
Three processes take turns within each round; what was logged is at the hub before the next turn begins, so that
nobody is measured under the load of another. At the end the hub's rows are counted. W&B gets fewer calls a turn,
but enough to meet its backpressure, which is inside its log().

Flat out, trainer, daemon and hub want three cores. On fewer the mean holds the trainer's waiting for a core, and so
do p99.9 and the maximum: the CPU it used per call, which is shown too, does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bench.hub_client import rows_of
from bench.report import Result, main, paired, spread
from bench.stand import Process, Stand, has_wandb


class Size(NamedTuple):
    rounds: int = 9
    calls: int = 50_000
    peer_calls: int = 20_000


FULL = Size()
TINY = Size(1, 200, 50)
WARM_UP = 50
Rounds = dict[str, list[dict[str, Any]]]


def run(size: Size = FULL) -> list[Result]:
    with Stand() as stand:
        stand.hub()
        stand.daemon(stand.hub_url)
        kinds = ["floor", "respool", *(["wandb"] if has_wandb() else [])]
        subjects = {kind: stand.subject(kind) for kind in kinds}
        found = _rounds(subjects, size)
        logged, kept = WARM_UP + size.rounds * size.calls, rows_of(stand, "admin/bench/run")
        assert kept == logged, f"{logged} rows were logged, {kept} are at the hub"
        return _judge(found)


def _rounds(subjects: dict[str, Process], size: Size) -> Rounds:
    found: Rounds = {kind: [] for kind in subjects}
    for subject in subjects.values():
        subject.ask(do="log", calls=WARM_UP, gap=0)
    for turn in range(size.rounds):
        kinds = list(subjects)
        for kind in kinds[turn % len(kinds) :] + kinds[: turn % len(kinds)]:
            calls = size.peer_calls if kind == "wandb" else size.calls
            found[kind].append(subjects[kind].ask(do="log", calls=calls, gap=0))
            subjects[kind].ask(do="settle")
    return found


def _judge(found: Rounds) -> list[Result]:
    base = _of(found, "floor", "p50")
    text = f"floor p50 {spread(base).text('µs')}"
    results = []
    for name, limit in (("p50", 3), ("p99", 20), ("p999", 100)):
        ours = _of(found, "respool", name)
        ratio = paired(ours, base)
        label = f"`log()` back to back, {name.replace('999', '99.9')}"
        budget = f"≤ {limit}x floor p50"
        results.append(Result(label, spread(ours).text("µs"), text, f"{ratio:.1f}x", budget, ratio <= limit))
    return results + _means(found)


def _means(found: Rounds) -> list[Result]:
    ours, floor = _of(found, "respool", "mean"), _of(found, "floor", "mean")
    measured, shown = spread(ours).text("µs"), f"floor mean {spread(floor).text('µs')}"
    results = [Result("`log()` back to back, mean", measured, shown, f"{paired(ours, floor):.1f}x")]
    if "wandb" in found:
        peer = _of(found, "wandb", "mean")
        faster, shown = paired(peer, ours), f"wandb.log offline mean {spread(peer).text('µs', 0)}"
        what, budget = "`log()` against W&B offline, mean", "≥ 25x faster"
        results.append(Result(what, measured, shown, f"{faster:.0f}x faster", budget, faster >= 25))
        results.append(_cpu(_of(found, "respool", "cpu"), _of(found, "wandb", "cpu")))
    return results


def _cpu(ours: list[float], peer: list[float]) -> Result:
    shown = f"wandb.log offline {spread(peer).text('µs', 0)}"
    what = "`log()` against W&B offline, CPU of the trainer per call"
    return Result(what, spread(ours).text("µs"), shown, f"{paired(peer, ours):.0f}x less")


def _of(found: Rounds, kind: str, name: str) -> list[float]:
    return [one[name] for one in found[kind]]


if __name__ == "__main__":
    main(run)
