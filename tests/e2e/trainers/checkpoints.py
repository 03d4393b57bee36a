"""Saves a checkpoint in a loop, overwriting it, and begins from what restore() gives.

A checkpoint is its step, then bytes that follow from it: whoever reads one can tell whether it is whole.
Notes: `# saved STEP SHA256` once save() returned, `# restored STEP SHA256 ok|BROKEN`, `# none` if there was none.
"""

from __future__ import annotations

import hashlib
import os
import time

from notes import begin, hang, parser, value_of

NAME = "checkpoint.bin"


def content(step: int, size: int) -> bytes:
    """The only right bytes for this step."""
    head = step.to_bytes(8, "big")
    block = hashlib.sha256(head).digest()
    return (head + block * (size // len(block) + 1))[:size]


def main() -> None:
    options = parse()
    run, notes = begin(options)
    start = restored(options, run, notes) + 1
    for step in range(start, options.steps):
        data = content(step, options.size)
        if options.rename:
            write(NAME + ".new", data)
            os.replace(NAME + ".new", NAME)
        else:
            write(NAME, data)
        value = value_of(run.attempt_id, step)
        run.log({"value": value}, step=step)
        notes.row(step, value)
        if run.save(NAME):
            notes.remark(f"saved {step} {hashlib.sha256(data).hexdigest()}")
        if options.pace:
            time.sleep(options.pace)
    notes.remark("done")
    if options.hang:
        hang()
    run.finish()


def restored(options, run, notes) -> int:
    import respool

    try:
        with respool.restore(NAME) as file:
            data = file.read()
    except FileNotFoundError as error:
        notes.remark(f"none {str(error)[:200]!r}")
        return -1
    step = int.from_bytes(data[:8], "big")
    good = "ok" if data == content(step, options.size) else "BROKEN"
    notes.remark(f"restored {step} {hashlib.sha256(data).hexdigest()} {good}")
    return step


def write(path: str, data: bytes) -> None:
    """In pieces, as torch.save does: a reader in between sees half of it."""
    with open(path, "wb", buffering=0) as file:
        file.writelines(data[at : at + (1 << 16)] for at in range(0, len(data), 1 << 16))


def parse():
    made = parser()
    made.add_argument("--steps", type=int, default=10)
    made.add_argument("--size", type=int, default=1 << 20)
    made.add_argument("--pace", type=float, default=0.0)
    made.add_argument("--rename", type=int, default=0)
    made.add_argument("--hang", type=int, default=0)
    return made.parse_args()


if __name__ == "__main__":
    main()
