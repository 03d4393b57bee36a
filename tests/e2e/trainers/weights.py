"""Saves a model's state with torch.save at every step, by turns in each way there is, and overwrites one file all
the time. Most of the state is frozen; a part is new at every step of every life.

# found STEP DIGEST ok|BROKEN   what latest_checkpoint() gave at the beginning, or `found none`
# try WAY STEP DIGEST           these bytes are whole and were not handed over yet
# saved WAY STEP DIGEST         from here on no kill may take them
"""

from __future__ import annotations

import hashlib
import io
import time
from zlib import crc32

import torch
from notes import begin, hang, parser

NAME = "model.pt"
WAYS = ("plain", "staged", "file", "plain", "file")
FRESH = 24 << 20


def state_of(attempt_id: str, step: int, size: int) -> dict[str, object]:
    """The only right state for this step of this attempt."""
    torch.manual_seed(7)
    layers = {f"layer{at}": torch.randn((size - FRESH) // 16) for at in range(4)}
    torch.manual_seed(crc32(f"{attempt_id}:{step}".encode()))
    return {"step": step, "attempt": attempt_id, "adapter": torch.randn(FRESH // 4), **layers}


def right(data: bytes, size: int) -> bool:
    """Whether bytes load, and are the state that they say they are."""
    found = torch.load(io.BytesIO(data), weights_only=True)
    wanted = state_of(found["attempt"], found["step"], size)
    return all(
        torch.equal(found[key], value) if isinstance(value, torch.Tensor) else found[key] == value
        for key, value in wanted.items()
    )


def digest_of(file) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


class Trainer:
    def __init__(self, options) -> None:
        self.options = options
        self.run, self.notes = begin(options, takeover=bool(options.takeover))
        self.run.keep_checkpoints(last=2)
        self.state = state_of(self.run.attempt_id, 0, options.size)

    def found(self) -> int:
        """The step to go on from."""
        found = self.run.latest_checkpoint()
        if found is None:
            self.notes.remark("found none")
            return 0
        with found.open() as file:
            data = file.read()
        good = "ok" if right(data, self.options.size) else "BROKEN"
        self.notes.remark(f"found {found.step} {hashlib.sha256(data).hexdigest()} {good}")
        return found.step + 1

    def turn(self, step: int) -> None:
        self.run.log({"loss": 1 / (step + 1)}, step=step)
        torch.manual_seed(crc32(f"{self.run.attempt_id}:{step}".encode()))
        self.state |= {"step": step, "adapter": torch.randn(FRESH // 4)}
        torch.save(self.state, NAME)
        way = WAYS[step % len(WAYS)]
        if way == "file":
            self.save_file(step)
        else:
            self.save_checkpoint(way, step)

    def save_file(self, step: int) -> None:
        with open(NAME, "rb") as file:
            digest = digest_of(file)
        self.notes.remark(f"try file {step} {digest}")
        if self.run.save(NAME, policy="now"):
            self.notes.remark(f"saved file {step} {digest}")

    def save_checkpoint(self, way: str, step: int) -> None:
        with self.run.checkpoint(step, staged=way == "staged") as file:
            torch.save(self.state, file)
            digest = digest_of(file)
            file.metadata["digest"] = digest
            self.notes.remark(f"try {way} {step} {digest}")
        # The same path is overwritten while a staged one is still being written.
        torch.save(self.state, NAME)
        if file.ok and (way == "plain" or file.wait(60)):
            self.notes.remark(f"saved {way} {step} {digest}")


def main() -> None:
    made = parser()
    made.add_argument("--steps", type=int, default=10)
    made.add_argument("--size", type=int, default=64 << 20)
    made.add_argument("--pace", type=float, default=0.0)
    made.add_argument("--hang", type=int, default=0)
    made.add_argument("--takeover", type=int, default=0)
    options = made.parse_args()
    trainer = Trainer(options)
    begin_at = trainer.found()
    trainer.notes.remark(f"begin {begin_at}")
    for step in range(begin_at, begin_at + options.steps):
        trainer.turn(step)
        time.sleep(options.pace)
    if options.hang:
        hang()
    trainer.run.finish()


if __name__ == "__main__":
    main()
