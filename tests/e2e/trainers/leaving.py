"""Logs a row every few milliseconds until it is told to leave, then saves what it needs and ends as told."""

from __future__ import annotations

import os
import signal
import sys
import time

from notes import begin, parser, value_of


def main() -> None:
    options = parse()
    run, notes = begin(options)
    if options.callback:
        signals = [signal.Signals[options.signal]] if options.signal else []
        run.on_preempt(lambda: notes.remark(f"callback at {run.step}"), signals=signals)
    start, steps = run.step, options.steps
    if run.resumed and options.more:
        start, steps = max(0, run.step - options.back), run.step + options.more
    told = warned = False
    for step in range(start, steps):
        value = value_of(run.attempt_id, step)
        run.log({"value": value}, step=step)
        notes.row(step, value)
        if run.superseded and not told:
            told = True
            notes.remark("superseded")
        if options.watch and run.preempting != warned:
            warned = run.preempting
            notes.remark("warned" if warned else "withdrawn")
        if options.heed and run.preempting:
            notes.remark(f"preempting; {run.seconds_left}")
            break
        time.sleep(options.pace)
    match options.end:
        case "exit":
            sys.exit(options.code)
        case "system-exit":
            raise SystemExit(options.code)
        case "os-exit":
            os._exit(options.code)
        case "finish":
            run.finish()
        case "finish-unless-preempting" if not run.preempting:
            run.finish()


def parse():
    made = parser()
    made.add_argument("--steps", type=int, default=10**6)
    made.add_argument("--more", type=int, default=0, help="a resumed life logs so many new rows")
    made.add_argument(
        "--back", type=int, default=0, help="and begins so many before them, as from a checkpoint"
    )
    made.add_argument("--pace", type=float, default=0.01)
    made.add_argument("--callback", type=int, default=0)
    made.add_argument("--signal", default="")
    made.add_argument("--heed", type=int, default=0)
    made.add_argument("--watch", type=int, default=0, help="note when run.preempting changes")
    ends = ["fall", "exit", "system-exit", "os-exit", "finish", "finish-unless-preempting"]
    made.add_argument("--end", choices=ends, default="fall")
    made.add_argument("--code", type=int, default=0)
    return made.parse_args()


if __name__ == "__main__":
    main()
