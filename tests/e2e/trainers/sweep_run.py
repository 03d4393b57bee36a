"""One run of a sweep: a few rows from wherever it was, and a file with the name of each life."""

from __future__ import annotations

import argparse
import os
import time

import respool


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=int, required=True)
    parser.add_argument("--lives", required=True)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--pace", type=float, default=0.1)
    options = parser.parse_args()
    run = respool.init(resume=True)
    told = f"{run.id} {run.config.x} {os.environ.get('RESPOOL_REQUEUED', '0')} {run.step} {os.getpid()}"
    with open(options.lives, "a", encoding="ascii") as file:
        file.write(told + "\n")
    for step in range(run.step, options.steps):
        run.log({"loss": (options.x - 20) ** 2 + 1 / (step + 1), "at": step}, step=step)
        time.sleep(options.pace)


if __name__ == "__main__":
    main()
