"""`init()` with a daemon: hub up, and hub known to be away. Fresh processes, taking turns.

Measured from the call to its return in a process that has done nothing but `import respool`; beside it the first
call together with the import, and the second init() of one process. For scale: what one small file costs that is
written, synced, renamed and whose folder is synced. The peer is `wandb.init(mode="offline")`
(pip install wandb==0.31.0), also in a process that has imported it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

from bench.report import Result, main, spread
from bench.stand import Stand, has_wandb, until

TRAINER = """
import json, time
import os
begin = time.perf_counter()
with open("probe.part", "wb") as file:
    file.write(bytes(4096))
    file.flush()
    os.fsync(file.fileno())
os.rename("probe.part", "probe")
folder = os.open(".", os.O_RDONLY)
os.fsync(folder)
probed = time.perf_counter()
import respool
imported = time.perf_counter()
run = respool.init(project="bench", id=None)
first = time.perf_counter()
run.log({"loss": 1.0})
run.finish()
again = time.perf_counter()
run = respool.init(project="bench")
second = time.perf_counter()
run.finish()
print(json.dumps({"init": first - imported, "total": first - probed, "probe": probed - begin, "warm": second - again}))
"""
PEER = """
import json, os, time
os.environ["WANDB_ERROR_REPORTING"] = "false"
import wandb
quiet = wandb.Settings(console="off", silent=True, disable_git=True, x_disable_stats=True, x_disable_meta=True)
imported = time.perf_counter()
run = wandb.init(project="bench", mode="offline", settings=quiet)
first = time.perf_counter()
run.finish()
print(json.dumps({"init": first - imported}))
"""
Times = dict[str, list[float]]


class Size(NamedTuple):
    rounds: int = 15
    peer_rounds: int = 5


FULL = Size()
TINY = Size(1, 0)


def run(size: Size = FULL) -> list[Result]:
    peer = size.peer_rounds if size.peer_rounds and has_wandb() else 0
    found: dict[str, Times] = {"hub up": {}, "hub away": {}, "peer": {}}
    with Stand() as stand:
        stand.hub()
        stand.daemon(stand.hub_url, name="up")
        stand.daemon(f"unix:{stand.folder}/nobody.sock", name="away")
        until(20, lambda: _known_to_be_away(stand))
        for turn in range(size.rounds):
            _process(stand, TRAINER, found["hub up"], stand.socket("up"))
            _process(stand, TRAINER, found["hub away"], stand.socket("away"))
            if turn < peer:
                _process(stand, PEER, found["peer"], "")
    return [_judge(where, found[where], found["peer"]) for where in ("hub up", "hub away")]


def _process(stand: Stand, code: str, found: Times, socket: str) -> None:
    env = stand.environment(**({"RESPOOL_SOCKET": socket} if socket else {}))
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=stand.folder, capture_output=True, check=True, timeout=60
    )
    for name, value in json.loads(done.stdout).items():
        found.setdefault(name, []).append(value * 1000)


def _known_to_be_away(stand: Stand) -> bool:
    env = stand.environment(RESPOOL_SOCKET=stand.socket("away"))
    done = subprocess.run(
        [sys.executable, "-m", "respool", "status", "--json"], env=env, capture_output=True, timeout=60
    )
    return bool(done.stdout) and not json.loads(done.stdout)["hub_reachable"]


def _judge(where: str, found: Times, peer: Times) -> Result:
    call, total, warm, probe = (spread(found[name]) for name in ("init", "total", "warm", "probe"))
    measured = f"{call.text('ms')}; with the import {total.text('ms')}; second init {warm.text('ms')}"
    shown, ratio = f"one durable small file {probe.text('ms')}", ""
    if peer:
        offline = spread(peer["init"])
        shown += f"; wandb.init offline {offline.text('ms', 0)}"
        ratio = f"{offline.median / call.median:.0f}x faster than W&B"
    return Result(f"`init()`, {where}", measured, shown, ratio, "≤ 50 ms", call.median <= 50)


if __name__ == "__main__":
    main(run)
