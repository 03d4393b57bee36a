"""Saves large files under each policy and ruins each at once: cut in place, replaced by rename, deleted.

Notes `# saved NAME SHA256` of what save() was given. Ends when the file `go` is there.
"""

from __future__ import annotations

import hashlib
import os
import random
import time

from notes import begin, parser

SIZE = (9 << 20) + 7


def ruin(name: str, how: str) -> None:
    """What a script may do the moment that save() has returned."""
    if how == "cut":
        with open(name, "r+b") as file:
            file.truncate(10)
            file.write(b"0123456789")
    elif how == "replace":
        with open(name + ".new", "wb") as file:
            file.write(b"another file")
        os.replace(name + ".new", name)
    else:
        os.unlink(name)


def main() -> None:
    run, notes = begin(parser().parse_args())
    for number, (policy, how) in enumerate(
        (policy, how) for policy in ("now", "end", "live") for how in ("cut", "replace", "delete")
    ):
        name = f"{policy}-{how}.pt"
        data = random.Random(number).randbytes(SIZE)
        with open(name, "wb") as file:
            file.write(data)
        run.save(name, policy=policy)
        ruin(name, how)
        notes.remark(f"saved {name} {hashlib.sha256(data).hexdigest()}")
    run.log({"done": 1})
    while not os.path.exists("go"):
        time.sleep(0.05)
    run.finish()


if __name__ == "__main__":
    main()
