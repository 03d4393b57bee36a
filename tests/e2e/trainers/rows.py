"""Logs rows, paced or not, from its checkpoint or from run.step on, and ends as told.

Its checkpoint is one number in a file of its own: the last step that need not be trained again.
"""

from __future__ import annotations

import os
import sys
import time

from notes import begin, hang, parser, value_of


def main() -> None:
    options = parse()
    config = {"lr": 0.1, "life": os.path.basename(options.truth)} if options.config else None
    run, notes = begin(options, config=config)
    begin_at = run.step if options.restart == "step" else checkpoint(options.checkpoint) + 1
    if options.restart == "rewind":
        run.rewind(begin_at)
    explicit = options.restart == "checkpoint"
    slowest = 0.0
    pad = {"pad": "x" * options.pad} if options.pad else {}
    for step in range(begin_at, options.steps):
        at, far = (run.step, {"trainer/global_step": step}) if options.restart == "axis" else (step, {})
        value = value_of(run.attempt_id, at)
        before = time.perf_counter()
        run.log({"value": value, "copy": step, **far, **pad}, **({"step": step} if explicit else {}))
        slowest = max(slowest, time.perf_counter() - before)
        notes.row(at, value)
        if options.every and (step + 1) % options.every == 0:
            keep(options.checkpoint, step)
        if step == options.hang_at:
            hang()
        if options.until and os.path.exists(options.until):
            break
        if options.pace:
            time.sleep(options.pace)
    if options.preempting:
        run.mark_preempting()
    notes.remark(f"done; slowest {slowest:.6f}")
    end(options, run)


def end(options, run) -> None:
    match options.end:
        case "finish":
            run.finish()
        case "raise":
            raise RuntimeError("as told")
        case "hang":
            hang()
        case "exit":
            sys.exit(options.code)
        case "SystemExit":
            raise SystemExit(options.code)
        case "_exit":
            os._exit(options.code)
        case "fall":
            return


def checkpoint(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        return -1


def keep(path: str, step: int) -> None:
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(str(step))
    os.replace(f"{path}.new", path)


def parse():
    made = parser()
    made.add_argument("--steps", type=int, default=100)
    made.add_argument("--pad", type=int, default=0, help="bytes to make each row larger by")
    made.add_argument("--pace", type=float, default=0.0)
    made.add_argument("--restart", choices=["step", "checkpoint", "rewind", "axis"], default="step")
    made.add_argument("--checkpoint", default="steps.checkpoint")
    made.add_argument("--every", type=int, default=0)
    made.add_argument("--hang-at", type=int, default=-1)
    made.add_argument("--until", default="", help="the last step is the one at which this file is there")
    made.add_argument("--preempting", type=int, default=0)
    made.add_argument("--config", type=int, default=0)
    made.add_argument(
        "--end", choices=["finish", "raise", "hang", "exit", "fall", "SystemExit", "_exit"], default="finish"
    )
    made.add_argument("--code", type=int, default=0)
    return made.parse_args()


if __name__ == "__main__":
    main()
