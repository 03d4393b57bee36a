"""What people change of a run at the hub: its name, its notes, its tags. They stay at a resume, unless that
attempt passes its own.
"""

from __future__ import annotations

from typing import Any

from respool.wire.limits import MAX_LABEL, MAX_NOTES, MAX_TAG, MAX_TAGS
from respool_hub.service.access import Caller, own_run
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.store.ports import Transaction
from respool_hub.store.rows import RunRow

EDITABLE = ("name", "notes", "tags")
LONGEST = (64 << 10) + 12 * (MAX_LABEL + MAX_NOTES + MAX_TAGS * MAX_TAG)
"""Bytes of a change as JSON whose texts are all as long as they may be: a character can be escaped as twelve."""


def checked(given: Any) -> dict[str, Any]:
    """The changes in a body. Raises RefusalError "bad-request" naming what cannot be set, and to what."""
    if not isinstance(given, dict) or not given:
        raise _unusable(f"A change is a JSON object of {', '.join(EDITABLE)}, not {str(given)[:80]!r}.")
    for key, value in given.items():
        if key not in EDITABLE:
            raise _unusable(f"{str(key)[:80]!r} of a run cannot be changed.")
        if not (_tags(value) if key == "tags" else _text(value, MAX_LABEL if key == "name" else MAX_NOTES)):
            raise _unusable(f"{key} cannot be {str(value)[:80]!r}.")
    return given


def edit(tx: Transaction, caller: Caller, run: RunRow, changes: dict[str, Any]) -> RunRow:
    """The run with `changes`; None removes one. Raises RefusalError "forbidden" to who does not own it."""
    own_run(caller, run)
    kept = {**run.meta, **changes}
    changed = run._replace(meta={key: value for key, value in kept.items() if value is not None})
    tx.put_run(changed)
    return changed


def _text(value: Any, longest: int) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= longest and _whole(value))


def _tags(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and len(value) <= MAX_TAGS and all(_tag(tag) for tag in value)


def _tag(tag: Any) -> bool:
    return isinstance(tag, str) and 0 < len(tag) <= MAX_TAG and _whole(tag)


def _whole(text: str) -> bool:
    """JSON can spell half of a character (a lone surrogate); UTF-8, in which texts are kept, cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _unusable(cause: str) -> RefusalError:
    advice = f"name and notes are texts, tags a list of at most {MAX_TAGS} texts; null removes one."
    return refuse("bad-request", cause, advice)
