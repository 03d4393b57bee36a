"""Checkpoints on their way: to the hub, and back to another node, against a plain socket copy that hashes and stores.

A checkpoint is handed over while the hub stands still (SIGSTOP), so that the clock runs from the moment it goes on
until the hub shows it: durable, verified, visible. It comes back to a node that has nothing of it, until a trainer
there has read it all. Each round's state is new in every byte. Beside it: what a low-rank adapter's checkpoint
adds to the hub, what all of this does to log() of another trainer, and how much memory daemon and hub take for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import Any, NamedTuple

from bench import copier
from bench.hub_client import connect
from bench.report import Result, main, paired, spread
from bench.stand import Process, Stand, until

UPLOAD, RESTORE, ADAPTER, MEMORY, LOG = 0.6, 0.5, 0.1, 200.0, 20.0
SECONDS = 300.0


class Size(NamedTuple):
    state: int = 1 << 30
    rounds: int = 4
    calls: int = 3000


FULL = Size()
TINY = Size(32 << 20, 1, 50)


class Found(NamedTuple):
    """Seconds of each round; the floor's, taken in turn; the turns of log() while nothing and while an upload went
    on; the adapter's share of new bytes; the growth of each process in MiB.
    """

    upload: list[float]
    restore: list[float]
    floor: list[float]
    quiet: list[dict[str, Any]]
    busy: list[dict[str, Any]]
    adapter: float
    growth: dict[str, float]


def run(size: Size = FULL) -> list[Result]:
    with Stand() as stand:
        found = _measured(stand, size)
    text = f"{size.state >> 20} MiB"
    rows = [
        _rate(f"checkpoint upload, {text}", size, found.upload, found.floor, UPLOAD),
        _rate(f"checkpoint restore on another node, {text}", size, found.restore, found.floor, RESTORE),
    ]
    share = f"{100 * found.adapter:.1f} %"
    rows.append(
        Result(
            "new bytes at the hub, low-rank adapter on a frozen base",
            share,
            f"a checkpoint of {text}",
            share,
            "at most 10 %",
            found.adapter <= ADAPTER,
        )
    )
    rows += [_log(name, found) for name in ("p50", "p99")]
    moved = f"{3 * size.rounds * size.state >> 20} MiB up and down"
    for name, grown in found.growth.items():
        rows.append(
            Result(
                f"{name}, memory", f"{grown:.0f} MiB more", moved, "", f"≤ {MEMORY:.0f} MiB", grown <= MEMORY
            )
        )
    return rows


def _measured(stand: Stand, size: Size) -> Found:
    hub = stand.hub()
    near, far = stand.daemon(stand.hub_url), stand.daemon(stand.hub_url, name="other")
    floor = stand.start(["-m", "bench.copier", f"{stand.folder}/copier", stand.folder], "copier")
    floor.line()
    subject, saver = stand.subject("respool"), _saver(stand, "daemon", size)
    watched = {"daemon": near, "daemon of the other node": far, "hub": hub}
    before = {name: _peak(process, reset=True) for name, process in watched.items()}
    upload, floors, busy, quiet = list[float](), list[float](), list[Any](), list[Any]()
    for _ in range(size.rounds):
        saver.ask(do="renew")
        _warm(stand, size)
        upload.append(_uploaded(stand, hub, saver, "checkpoint"))
        _warm(stand, size)
        floors.append(copier.copied(f"{stand.folder}/copier", _newest(stand)))
        quiet.append(subject.ask(do="log", calls=size.calls, gap=0.001))
        saver.ask(do="renew")
        _uploaded(stand, hub, saver, "checkpoint", Beside(subject, busy, size.calls))
    stored = _stored(stand)
    _uploaded(stand, hub, saver, "tune")
    adapter = (_stored(stand) - stored) / os.path.getsize(_newest(stand))
    stand.stop(saver)
    other = _saver(stand, "other", size, restores=True)
    restore = [other.ask(do="restore")["seconds"] for _ in range(size.rounds)]
    growth = {name: _peak(process) - before[name] for name, process in watched.items()}
    return Found(upload, restore, floors, quiet, busy, adapter, growth)


def _saver(stand: Stand, daemon: str, size: Size, *, restores: bool = False) -> Process:
    words = ["-m", "bench.saver", "0" if restores else str(size.state)]
    process = stand.start(words, f"saver-{daemon}", RESPOOL_SOCKET=stand.socket(daemon))
    process.line(SECONDS)
    return process


class Beside(NamedTuple):
    """A trainer that logs so often, and where it says how long that took it."""

    subject: Process
    turns: list[Any]
    calls: int


def _warm(stand: Stand, size: Size) -> None:
    """Have the machine hold memory for what is written next: where a host takes back what a virtual machine has freed,
    touching it again costs three times the copy, and whoever comes first pays.
    """
    path, piece = os.path.join(stand.folder, "warm"), bytes(1 << 20)
    with open(path, "wb") as file:
        file.writelines(piece for _ in range(3 * size.state >> 20))
    os.unlink(path)


def _uploaded(stand: Stand, hub: Process, saver: Process, way: str, beside: Beside | None = None) -> float:
    """Seconds from the hub's going on until it shows one checkpoint more."""
    with contextlib.closing(connect(stand)) as connection:
        before = _newest_step(connection)
        hub.signal(signal.SIGSTOP)
        try:
            saver.ask(do=way)
            if beside:
                beside.subject.tell(do="log", calls=beside.calls, gap=0.001)
        finally:
            hub.signal(signal.SIGCONT)
        taken = until(SECONDS, lambda: _newest_step(connection) > before, pause=0.01)
    if beside:
        beside.turns.append(beside.subject.answer())
    return taken


def _newest_step(connection: Any) -> int:
    status, body = connection.ask("GET", "/v1/runs/admin/bench/saver/checkpoints")
    listed = json.loads(body)["checkpoints"] if status == 200 else []
    return max((one["step"] for one in listed), default=-1)


def _newest(stand: Stand) -> str:
    """The newest snapshot in the spool."""
    found = [
        os.path.join(folder, name)
        for folder, _, names in os.walk(stand.spool())
        for name in names
        if os.path.basename(folder) == "blobs" and "." not in name
    ]
    return max(found, key=os.path.getmtime)


def _stored(stand: Stand) -> int:
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(os.path.join(stand.folder, "hub", "blobs"))
        for name in names
    )


def _peak(process: Process, *, reset: bool = False) -> float:
    """MiB of the most it ever had resident, since the last reset."""
    if reset:
        with open(f"/proc/{process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        line = next(one for one in file if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _rate(what: str, size: Size, taken: list[float], floor: list[float], budget: float) -> Result:
    ratio = paired(floor, taken)
    text = f"{size.state / (1 << 20) / spread(taken).median:.0f} MiB/s ({spread(taken).text('s', 2)})"
    shown = f"socket copy, hashed, stored, synced: {spread(floor).text('s', 2)}"
    return Result(what, text, shown, f"{ratio:.2f}x", f"at least {budget}x", ratio >= budget)


def _log(name: str, found: Found) -> Result:
    quiet, busy = spread(one[name] for one in found.quiet), spread(one[name] for one in found.busy)
    ratio = busy.median / spread(one["p50"] for one in found.quiet).median
    what = f"`log()` every ms while a checkpoint goes up, {name}"
    shown = f"with none: {quiet.text('µs')}"
    budget = f"at most {LOG:.0f}x the p50 with none"
    return Result(what, busy.text("µs"), shown, f"{ratio:.2f}x", budget, ratio <= LOG)


if __name__ == "__main__":
    main(run)
