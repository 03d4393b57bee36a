"""Calls init() with a config, logs three rows if it went well, and ends as told: or stays, or is killed."""

from __future__ import annotations

import json
import os
import signal
import sys

from notes import Notes, begin, hang, parser, value_of


def main() -> None:
    made = parser()
    made.add_argument("--config", type=json.loads, default={})
    made.add_argument("--rows", type=int, default=3)
    made.add_argument("--end", choices=["finished", "failed", "crashed", "running"], default="finished")
    options = made.parse_args()
    try:
        run, notes = begin(options, config=options.config)
    except ValueError as error:
        Notes(options.truth).say(json.dumps({"refused": str(error)}))
        return
    for _ in range(options.rows):
        step = run.step
        run.log({"value": value_of(run.attempt_id, step)})
        notes.row(step, value_of(run.attempt_id, step))
    if options.end == "running":
        hang()
    if options.end == "crashed":
        os.kill(os.getpid(), signal.SIGKILL)
    if options.end == "failed":
        sys.exit(1)
    run.finish()


if __name__ == "__main__":
    main()
