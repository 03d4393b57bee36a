"""Saves the same kind of checkpoint again and again, and overwrites one file all the time; notes what it handed over.

# try STEP DIGEST        the bytes of this step's checkpoint are known
# saved STEP DIGEST      its block was left: from here on no kill may take it
"""

from __future__ import annotations

import hashlib
import random
import time

from notes import begin, hang, parser


def content(step: int, size: int, seed: int) -> bytes:
    """Two thirds the same at every step, as a frozen base is; the rest new."""
    base = random.Random(seed).randbytes(2 * size // 3)
    return base + random.Random(seed * 1_000_003 + step).randbytes(size - len(base))


def main() -> None:
    made = parser()
    made.add_argument("--steps", type=int, default=5)
    made.add_argument("--size", type=int, default=6 << 20)
    made.add_argument("--staged", type=int, default=0)
    made.add_argument("--wait", type=float, default=0.0)
    made.add_argument("--pause", type=float, default=0.0)
    made.add_argument("--keep", type=int, default=2)
    made.add_argument("--end", choices=["finish", "hang"], default="finish")
    options = made.parse_args()
    run, notes = begin(options)
    run.keep_checkpoints(last=options.keep)
    found = run.latest_checkpoint()
    start = run.step
    if found is not None:
        with found.open() as file:
            notes.remark(f"found {found.step} {hashlib.sha256(file.read()).hexdigest()}")
        start = found.step + 1
    for step in range(start, options.steps):
        run.log({"loss": 1 / (step + 1)}, step=step, commit=True)
        data = content(step, options.size, 7)
        digest = hashlib.sha256(data).hexdigest()
        notes.remark(f"try {step} {digest}")
        with run.checkpoint(
            step, staged=bool(options.staged and step % 2), metadata={"digest": digest}
        ) as made_one:
            made_one.write(data)
        if made_one.wait(options.wait) if options.wait else made_one.ok and not (options.staged and step % 2):
            notes.remark(f"saved {step} {digest}")
        time.sleep(options.pause)
        with open("model.bin", "wb") as file:
            file.write(data)
        run.save("model.bin")
        notes.remark(f"done {step}")
    if options.end == "hang":
        hang()
    run.finish()
    notes.remark("finished")


if __name__ == "__main__":
    main()
