"""The resume table as data: every mode times what is known of the run. Each keeper's suite plays all of it.

The run, where it exists, logged the steps 0 to 2 with the config {"lr": 0.1, "seed": 1}; the call that is judged
passes config={"lr": 0.2}.
"""

from __future__ import annotations

from typing import Any, NamedTuple

BEFORE = {"lr": 0.1, "seed": 1}
CALL = {"lr": 0.2}
ROWS = 3


class Outcome(NamedTuple):
    """`kind`: created, resumed, over (started over), new (another run), refused. `words` are in what is said."""

    kind: str
    step: int = 0
    config: dict[str, Any] = CALL
    words: tuple[str, ...] = ()


CREATED = Outcome("created")
RESUMED = Outcome("resumed", ROWS, {**BEFORE, **CALL}, ("resumed at step 3",))
OVER = Outcome("over", 0, CALL, ("was started over", "up to step 2", "resume='allow'"))
NEW = Outcome("new")
ALIVE = Outcome("refused", words=("is alive on", "process", "join=True", "takeover=True", "another id"))
MISSING = Outcome("refused", words=("must", "allow"))


def exists(state: str) -> Outcome:
    return Outcome("refused", words=("exists", state, "never", "another id"))


MATRIX = {
    ("none", "missing"): CREATED,
    ("none", "running"): ALIVE,
    ("none", "finished"): OVER,
    ("none", "failed"): OVER,
    ("none", "crashed"): OVER,
    ("allow", "missing"): CREATED,
    ("allow", "running"): ALIVE,
    ("allow", "finished"): RESUMED,
    ("allow", "failed"): RESUMED,
    ("allow", "crashed"): RESUMED,
    ("must", "missing"): MISSING,
    ("must", "running"): ALIVE,
    ("must", "finished"): RESUMED,
    ("must", "failed"): RESUMED,
    ("must", "crashed"): RESUMED,
    ("never", "missing"): CREATED,
    ("never", "running"): exists("running"),
    ("never", "finished"): exists("finished"),
    ("never", "failed"): exists("failed"),
    ("never", "crashed"): exists("crashed"),
    ("auto", "missing"): CREATED,
    ("auto", "running"): NEW,
    ("auto", "finished"): NEW,
    ("auto", "failed"): RESUMED,
    ("auto", "crashed"): RESUMED,
}
"""(resume=, what is known of the run): what comes of it. With "auto" nobody names the run."""
