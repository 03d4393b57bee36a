"""Hands over checkpoints faster than they can leave, logs rows all the time, and saves once more when it must go.

# saved STEP      a checkpoint's block was left
# last STEP       so was that of the one that was made because of the notice
"""

from __future__ import annotations

import random
import time

from notes import begin, hang, parser, value_of


def main() -> None:
    made = parser()
    made.add_argument("--size", type=int, default=40 << 20)
    made.add_argument("--count", type=int, default=3)
    made.add_argument("--mark-at", type=int, default=-1)
    options = made.parse_args()
    run, notes = begin(options)
    run.keep_checkpoints(last=10)
    blocks = [random.Random(seed).randbytes(options.size) for seed in range(options.count + 1)]
    for step in range(10**6):
        value = value_of(run.attempt_id, step)
        run.log({"value": value})
        notes.row(step, value)
        if step < options.count:
            save(run, step, blocks[step])
            notes.remark(f"saved {step}")
        if step == options.mark_at:
            run.mark_preempting()
            notes.remark("marked")
        if run.preempting:
            break
        time.sleep(0.01)
    save(run, step, blocks[-1])
    notes.remark(f"last {step}")
    hang()


def save(run, step: int, data: bytes) -> None:
    with run.checkpoint(step) as file:
        file.write(data)


if __name__ == "__main__":
    main()
