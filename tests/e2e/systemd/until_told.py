"""Logs a row a millisecond until a file appears, then finishes: for tests that cannot know how long they take."""

from __future__ import annotations

import os
import time

from notes import begin, parser, value_of


def main() -> None:
    made = parser()
    made.add_argument("--until", required=True)
    options = made.parse_args()
    run, notes = begin(options)
    step = run.step
    while not os.path.exists(options.until):
        value = value_of(run.attempt_id, step)
        run.log({"value": value, "copy": step})
        notes.row(step, value)
        step += 1
        time.sleep(0.001)
    run.finish()


if __name__ == "__main__":
    main()
