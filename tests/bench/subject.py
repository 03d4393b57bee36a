"""A trainer to be measured: `python -m bench.subject floor|respool|wandb`, commanded over its standard input.

The floor is `sock.send(msgpack.packb(row))` to a process that reads and forgets: what the cheapest thinkable
client of a daemon costs. W&B (pip install wandb==0.31.0) runs offline, without console capture, statistics and
metadata, which is as fast as it gets. Commands and answers are JSON, one a line:

    {"do": "log", "calls": N, "gap": seconds before each}  -> {"mean", "p50", "p99", "p999", "max", "cpu" in µs, "raw"}
    {"do": "stream", "rows": N, "rate": rows/s, 0: flat out} -> {"seconds", "flush", "durable"}
    {"do": "settle"}                                       -> {"settled"}: everything logged is at the hub
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

from bench.report import quantile

Row = dict[str, float]
Log = Callable[[Row], object]
DRAIN = "import os\nwhile os.read(0, 65536): pass"
BURST_SECONDS = 0.01
KEEP_RAW = 2000


def main(kind: str) -> None:
    log, settle = {"floor": _floor, "respool": _respool, "wandb": _wandb}[kind]()
    _say({"ready": kind})
    for line in sys.stdin:
        command = json.loads(line)
        match command["do"]:
            case "log":
                _say(_timed(log, command["calls"], command["gap"]))
            case "stream":
                _say(_stream(log, command["rows"], command["rate"]))
            case "settle":
                _say({"settled": settle()})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _floor() -> tuple[Log, Callable[[], bool]]:
    import msgpack

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    # It ends by itself: with this process the other end of its input closes.
    subprocess.Popen([sys.executable, "-c", DRAIN], stdin=theirs)
    theirs.close()
    return (lambda row: ours.send(msgpack.packb(row))), lambda: True


def _respool() -> tuple[Log, Callable[[], bool]]:
    import respool

    respool.init(resume="allow")
    return respool.log, lambda: respool.flush(120)


def _wandb() -> tuple[Log, Callable[[], bool]]:
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    import wandb

    quiet = {"console": "off", "silent": True, "disable_git": True, "disable_code": True}
    quiet |= {"x_disable_stats": True, "x_disable_meta": True, "x_disable_machine_info": True}
    wandb.init(project="bench", mode="offline", dir=os.getcwd(), settings=wandb.Settings(**quiet))
    return wandb.log, lambda: True


def _timed(log: Log, calls: int, gap: float) -> dict[str, Any]:
    took, clock, sleep = array("q", bytes(8 * calls)), time.perf_counter_ns, time.sleep
    used = time.process_time()
    for at in range(calls):
        row = {"loss": 1.0 / (at + 1), "accuracy": at * 1e-6, "seconds": 0.25}
        if gap:
            sleep(gap)
        start = clock()
        log(row)
        took[at] = clock() - start
    used = time.process_time() - used
    ordered = [one / 1000 for one in sorted(took)]
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    found: dict[str, Any] = {name: quantile(ordered, share) for name, share in shares.items()}
    found |= {"mean": sum(ordered) / calls, "max": ordered[-1], "cpu": used / calls * 1e6}
    return found | {"raw": ordered if calls <= KEEP_RAW else []}


def _stream(log: Log, rows: int, rate: float) -> dict[str, Any]:
    """Log `rows` in bursts of 10 ms, `rate` of them a second, and say how long durability took after that."""
    import respool

    begin, done = time.perf_counter(), 0
    burst = max(1, int(rate * BURST_SECONDS)) if rate else rows
    while done < rows:
        for at in range(done, min(done + burst, rows)):
            log({"loss": 1.0 / (at + 1), "accuracy": at * 1e-6, "seconds": 0.25})
        done += burst
        if rate:
            time.sleep(max(0.0, begin + done / rate - time.perf_counter()))
    end = time.perf_counter()
    assert respool.run is not None
    # True would mean at the hub. Without one the answer says nothing, so the daemon's word is asked for.
    durable = _durable(respool.run)
    return {"seconds": end - begin, "flush": time.perf_counter() - end, "durable": durable}


def _durable(run: Any) -> bool:
    from respool.wire.messages import Flush, Flushed

    answer = run._keeper.tether.ask(Flush(hub=False), 120.0)
    return isinstance(answer.message, Flushed) and answer.message.error is None


if __name__ == "__main__":
    main(sys.argv[1])
