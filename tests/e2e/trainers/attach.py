"""Calls init() once, says how it went, logs a few rows if it went well, and ends."""

from __future__ import annotations

import json

from notes import Notes, begin, parser, value_of


def main() -> None:
    made = parser()
    made.add_argument("--rows", type=int, default=3)
    made.add_argument("--tags", default="")
    options = made.parse_args()
    try:
        run, notes = begin(options, config={"lr": 0.1})
    except ValueError as error:
        Notes(options.truth).say(json.dumps({"refused": str(error), "kind": type(error).__name__}))
        return
    for _ in range(options.rows):
        step = run.step
        value = value_of(run.attempt_id, step)
        run.log({"value": value})
        notes.row(step, value)
    run.finish()


if __name__ == "__main__":
    main()
