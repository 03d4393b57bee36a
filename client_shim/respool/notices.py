"""Everything respool prints, on standard error. No kind of warning is printed twice by one process.

A closed or broken standard error never reaches the training loop: what cannot be printed is dropped.
"""

from __future__ import annotations

import sys
from _thread import get_ident  # threading would be a price of the import
from typing import Any

from respool.errors import UsageError

PREFIX = "respool: "

silent = False
quiet = False
"""Whether another rank says what is to be said; then only what is wrong is printed."""
strictly = False
"""Whether the newest run was begun with strict=True: for what belongs to no run, such as a Table."""
speaker = 0
"""The thread that writes a line of ours at this moment: what is kept of the console are the script's own lines."""
_said: set[str] = set()


def line(text: str) -> None:
    """One line for the user, unless silenced or said by another rank."""
    if not (silent or quiet):
        _write(text)


def warn(kind: str, text: str) -> None:
    """A warning, the first time its kind comes up, unless silenced."""
    if not silent and kind not in _said:
        _said.add(kind)
        _write("warning: " + text)


def misused(kind: str, cause: str, instead: str, advice: str, *, strict: bool | None = None) -> None:
    """A call that asks for what cannot be done: one warning that says what is done `instead`, or, where the run is
    `strict`, a UsageError with the advice.
    """
    if strictly if strict is None else strict:
        raise UsageError(f"{cause}. {advice}.")
    warn(kind, f"{cause}; {instead}.")


def alarm(kind: str, text: str) -> None:
    """What must not go unseen, data lost above all: printed once per kind, even when silenced."""
    if kind not in _said:
        _said.add(kind)
        _write("WARNING: " + text)


def forget() -> None:
    """Warn anew: a new run began."""
    _said.clear()


def _write(text: str) -> None:
    stream = sys.stderr
    if stream is None:
        return
    global speaker  # noqa: PLW0603 - one standard error, one speaker
    speaker = get_ident()
    try:
        stream.write(PREFIX + text + "\n")
        stream.flush()
    except (OSError, ValueError):
        pass
    finally:
        speaker = 0


def joined(*sentences: str) -> str:
    """One text of several sentences, whether or not each begins and ends like one. What begins with code, as in
    `join=True`, keeps its spelling.
    """
    return " ".join(_sentence(text.strip()) for text in sentences if text.strip())


def shown(value: Any, limit: int = 60) -> str:
    """The beginning of a value's repr, for a message: whatever a script passes, whatever its repr does."""
    try:
        return repr(value)[:limit]
    except Exception:  # noqa: BLE001 - a message must not be what ends a training
        return f"<{type(value).__name__}>"


def _sentence(text: str) -> str:
    begins = text[:1].upper() + text[1:] if text.split(maxsplit=1)[0].rstrip(",:;.?!").isalpha() else text
    return begins if text[-1] in ".!?" else begins + "."
