"""A process with a model's state that saves it, in one way or another, when it is told to."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

TENSOR = 16 << 20
PARAMETERS = 1 << 20
"""Of a frozen model's low-rank part, in bytes."""


def state_of(size: int) -> dict[str, Any]:
    """Tensors of 16 MiB each, `size` bytes in all, of which nothing compresses or repeats."""
    import torch

    torch.manual_seed(7)
    return {f"layer{number}": torch.randn(TENSOR // 4) for number in range(size // TENSOR)}


class Saver:
    """`plain`: torch.save to a new path; `checkpoint`, `staged`: into the spool. Each says the seconds it blocked."""

    def __init__(self, size: int) -> None:
        import respool

        self.state = state_of(size)
        self.run = respool.init(project="bench", id="saver", resume="allow")
        self.run.keep_checkpoints(last=1)
        self.step = self.run.step

    def plain(self) -> float:
        import torch

        path = f"plain-{self.step}.pt"
        seconds = _timed(lambda: torch.save(self.state, path))
        os.unlink(path)
        return seconds

    def checkpoint(self, *, staged: bool = False) -> float:
        import torch

        def save() -> None:
            with self.run.checkpoint(self.step, staged=staged) as file:
                torch.save(self.state, file)
            made.append(file)

        made: list[Any] = []
        seconds = _timed(save)
        assert made[0].ok, "the checkpoint was not kept"
        assert made[0].wait(), "the checkpoint did not get to the disk"
        return seconds

    def staged(self) -> float:
        return self.checkpoint(staged=True)

    def tune(self) -> float:
        """As a low-rank adapter does: the base stays, a small part is new."""
        import torch

        self.state["adapter"] = torch.randn(PARAMETERS // 4)
        return self.checkpoint()

    def renew(self) -> float:
        """Not a byte stays as it was."""
        return _timed(lambda: [one.normal_() for one in self.state.values()])

    def restore(self) -> float:
        """Seconds to read the newest one back, from wherever it is."""

        def read() -> None:
            found = self.run.latest_checkpoint()
            assert found is not None
            with found.open() as file:
                while file.read(1 << 20):
                    pass

        return _timed(read)

    def turn(self, do: str) -> float:
        self.step += 1
        self.run.log({"step": self.step})
        act: Callable[[], float] = getattr(self, do)
        seconds = act()
        os.sync()  # what one turn left dirty is not the next one's to write
        return seconds


def _timed(act: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def main() -> None:
    saver = Saver(int(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": saver.turn(json.loads(line)["do"])}), flush=True)


if __name__ == "__main__":
    main()
