"""Saves `w` as a live file and then does what the files `order-0`, `order-1` ... say, and notes `# did N`.

write TEXT    write `w` and close it
replace TEXT  write another file and rename it to `w`
open TEXT     write to `w` and keep it open
save TEXT     write `w` and save() it
many TEXT     write and save() MANY files, then write TEXT into each, and close it
log           one row
end           finish()
"""

from __future__ import annotations

import os
import time

from notes import begin, parser

NAME = "w"
MANY = 80


def write(text: str, name: str = NAME) -> None:
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)


def main() -> None:
    run, notes = begin(parser().parse_args())
    write("first")
    run.save(NAME, policy="live")
    run.log({"a": 0})
    notes.remark("saved")
    kept_open = []
    for number in range(100):
        while not os.path.exists(f"order-{number}"):
            time.sleep(0.02)
        with open(f"order-{number}", encoding="utf-8") as file:
            word, _, text = file.read().partition(" ")
        match word:
            case "write":
                write(text)
            case "replace":
                write(text, "new")
                os.replace("new", NAME)
            case "open":
                kept_open.append(open(NAME, "w", encoding="utf-8"))  # noqa: SIM115 - that is the order
                kept_open[-1].write(text)
                kept_open[-1].flush()
            case "save":
                write(text)
                run.save(NAME, policy="live")
            case "many":
                names = [f"m{one}" for one in range(MANY)]
                for name in names:
                    write("before", name)
                run.save("m*", policy="live")
                for name in names:
                    write(text, name)
            case "log":
                run.log({"a": number})
            case _:
                run.finish()
                return
        notes.remark(f"did {number}")


if __name__ == "__main__":
    main()
