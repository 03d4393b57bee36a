"""One rank of a torchrun launch: logs from run.step on; rank 1 of the first group of workers kills itself.

Each rank of each group has notes of its own, beside those that were asked for: TRUTH.GROUP.RANK.
"""

from __future__ import annotations

import os
import signal
import time

from notes import begin, parser


def main() -> None:
    made = parser()
    made.add_argument("--steps", type=int, default=200)
    made.add_argument("--fatal", type=int, default=5)
    options = made.parse_args()
    rank, again = os.environ["RANK"], int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    options.truth += f".{again}.{rank}"
    run, _ = begin(options)
    # The first group is never done: with collectives its rank 0 would wait for rank 1.
    for step in range(run.step, options.steps if again else 10**6):
        run.log({"loss": 1 / (step + 1), "life": again}, step=step)
        if rank == "1" and not again and step == options.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02 if again else 0.2)
    run.finish()


if __name__ == "__main__":
    main()
