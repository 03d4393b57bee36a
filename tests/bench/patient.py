"""A trainer that is struck by faults: `python -m bench.patient`, commanded over its standard input.

Each call that a training loop makes is timed by itself. Commands and answers are JSON, one a line:

    {"do": "init", "resume": ...}           -> {"seconds", "daemon": whether one keeps the run}
    {"do": "log", "calls": N, "pad": bytes} -> {"p50", "p99", "max" in µs, "lost": rows that were counted}
    {"do": "save"}                          -> {"seconds", "kept"}: of a file of 1 KiB
    {"do": "finish"}                        -> {"seconds"}
"""

from __future__ import annotations

import json
import sys
from time import perf_counter, perf_counter_ns
from typing import Any

from bench.report import quantile

NAME = "weights.bin"


def main() -> None:
    import respool

    with open(NAME, "wb") as file:
        file.write(bytes(1024))
    _say({"ready": "patient"})
    for line in sys.stdin:
        _say(_done(respool, json.loads(line)))


def _done(respool: Any, command: dict[str, Any]) -> dict[str, Any]:
    begin = perf_counter()
    match command["do"]:
        case "init":
            run = respool.init(resume=command.get("resume"))
            return {"seconds": perf_counter() - begin, "daemon": run._keeper.tether is not None}
        case "save":
            kept = respool.save(NAME)
            return {"seconds": perf_counter() - begin, "kept": bool(kept)}
        case "finish":
            respool.finish()
            return {"seconds": perf_counter() - begin}
    return _logged(respool, command["calls"], command.get("pad", 0))


def _logged(respool: Any, calls: int, pad: int) -> dict[str, Any]:
    took, log, text = [0] * calls, respool.log, "x" * pad
    for at in range(calls):
        row = {"loss": 1.0 / (at + 1), "accuracy": at * 1e-6, "text": text}
        begin = perf_counter_ns()
        log(row)
        took[at] = perf_counter_ns() - begin
    ordered = [one / 1000 for one in sorted(took)]
    found: dict[str, Any] = {
        "p50": quantile(ordered, 0.5),
        "p99": quantile(ordered, 0.99),
        "max": ordered[-1],
    }
    return found | {"lost": respool.run._writer.lost}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
