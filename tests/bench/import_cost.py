"""What `import respool` adds to a bare Python, in time and memory: fresh processes, taking turns.

Time is the whole life of the process, so that nothing hides in the interpreter's start or end.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import NamedTuple

from bench.report import Result, main, spread
from bench.stand import Stand, has_wandb

SAY_PAGES = "print(open('/proc/self/statm').read().split()[1])"
KINDS = {
    "bare": "",
    "floor": "import msgpack, socket;",
    "respool": "import respool;",
    "wandb": "import wandb;",
}
PAGES = 256
"""In a MiB."""


class Size(NamedTuple):
    rounds: int = 15
    peer_rounds: int = 5


FULL = Size()
TINY = Size(2, 0)


def run(size: Size = FULL) -> list[Result]:
    peer = size.peer_rounds if size.peer_rounds and has_wandb() else 0
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    memory: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with Stand() as stand:
        env = stand.environment()
        for turn in range(-1, size.rounds):
            for kind, code in KINDS.items():
                if kind == "wandb" and (not peer or turn >= peer):
                    continue
                took, pages = _process(code, env)
                if turn >= 0:
                    seconds[kind].append(took * 1000)
                    memory[kind].append(pages / PAGES)
    least = {kind: min(found) for kind, found in seconds.items() if found}
    resident = {kind: spread(found).median for kind, found in memory.items() if found}
    return [_time(least), _memory(resident)]


def _process(code: str, env: dict[str, str]) -> tuple[float, int]:
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + SAY_PAGES], env=env, capture_output=True, check=True)
    return time.perf_counter() - begin, int(done.stdout)


def _time(least: dict[str, float]) -> Result:
    ours, floor = least["respool"] - least["bare"], least["floor"] - least["bare"]
    shown = f"bare Python {least['bare']:.0f} ms; `import msgpack, socket` {floor:.0f} ms over it"
    if "wandb" in least:
        shown += f"; `import wandb` {least['wandb'] - least['bare']:.0f} ms over it"
    ratio = f"{ours / floor:.1f}x msgpack and socket"
    return Result(
        "`import respool`, time", f"{ours:.1f} ms over bare Python", shown, ratio, "≤ 30 ms", ours <= 30
    )


def _memory(resident: dict[str, float]) -> Result:
    ours = resident["respool"] - resident["bare"]
    floor = resident["floor"] - resident["bare"]
    shown = f"bare Python {resident['bare']:.1f} MiB; `import msgpack, socket` {floor:.1f} MiB over it"
    if "wandb" in resident:
        shown += f"; `import wandb` {resident['wandb'] - resident['bare']:.0f} MiB over it"
    ratio = f"{ours / floor:.1f}x msgpack and socket"
    return Result(
        "`import respool`, memory", f"{ours:.1f} MiB over bare Python", shown, ratio, "≤ 8 MiB", ours <= 8
    )


if __name__ == "__main__":
    main(run)
