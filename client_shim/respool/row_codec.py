"""From what a script hands over to a record's payload: packed as it is if msgpack can, made plain if not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from respool import notices, row_media
from respool.wire import codec
from respool.wire.limits import MAX_KEY, MAX_PAYLOAD

RESERVED = frozenset({"_step", "_timestamp", "_runtime", "_attempt"})
UNPACKABLE = (TypeError, ValueError, OverflowError)


def told(name: str) -> None:
    """Tell the user of what could not be kept as it is, once per type. Raises UsageError if strict."""
    if name == codec.BROKEN_TEXT:
        cause, instead = "a text holds half of a character (a lone surrogate)", "it is logged spelled out"
    else:
        cause, instead = f"a value of type {name} cannot be kept as it is", "its repr is logged"
    notices.misused(f"type {name}", cause, instead, "Log numbers, texts, lists and dicts")


def untold(_: str) -> None:
    """Tell nobody: it was told before, or is not the user's own."""


def plain_map(value: dict[Any, Any], tell: Callable[[str], None] = told) -> dict[str, Any]:
    """A dict of plain values, keys cut to their limit. One warning per type that became its repr."""
    made = codec.plain(value, tell)
    return {_key(key): item for key, item in made.items()}


def plain_row(row: dict[Any, Any]) -> dict[str, Any]:
    """The same for a row. Raises MediaFoundError where one holds media, whose files must be kept first."""
    if row_media.holds(row):
        raise row_media.MediaFoundError
    return plain_map(row)


def pack_map(value: dict[Any, Any], tell: Callable[[str], None] = untold) -> bytes | None:
    """The payload of a map of anything; None when it is too large for a record, which is warned of."""
    payload = packed(value, tell)
    if len(payload) <= MAX_PAYLOAD:
        return payload
    notices.alarm(
        "large",
        f"{len(payload)} bytes of config or summary are more than a record holds ({MAX_PAYLOAD}); "
        "save() such data as a file.",
    )
    return None


def size_of(value: dict[Any, Any], tell: Callable[[str], None] = untold) -> int:
    """Bytes of the payload of a map of anything."""
    return len(packed(value, tell))


def packed(value: dict[Any, Any], tell: Callable[[str], None] = untold) -> bytes:
    """The payload of a map of anything, however large."""
    try:
        payload = codec.pack(value)
        return codec.pack(plain_map(value, tell)) if codec.has_odd_key(value) else payload
    except UNPACKABLE:
        return codec.pack(plain_map(value, tell))


def has_odd_name(row: dict[Any, Any], known: set[str]) -> bool:
    """Whether a key of a row is no str or longer than its limit. If none is, they are `known` from now on.
    A reserved name is warned of: readers show their own value under it.
    """
    if not all(isinstance(key, str) and len(key) <= MAX_KEY for key in row):
        return True
    known.update(row)
    reserved = sorted(RESERVED.intersection(row))
    if reserved:
        cause = f"log() was given {', '.join(reserved)}, which respool itself sets"
        notices.misused("reserved", cause, "rename it to see your value", "Rename it")
    return False


def step_of(value: Any) -> int | None:
    """An integer step of what was passed as one (numpy and torch scalars too), None when it is none. The
    greatest is one less than 64 bits hold: the step after it is a step too.
    """
    try:
        step = int(value)
        if isinstance(value, float) and step != value:
            return None
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return step if -(1 << 63) < step < (1 << 63) - 1 else None


def why_no_step(value: Any) -> str:
    """What is wrong with what `step_of` took for no step."""
    try:
        whole = int(value) == value
    except (TypeError, ValueError, OverflowError, RuntimeError):
        whole = False
    return "does not fit into 64 bits" if whole else "is no integer"


def _key(key: str) -> str:
    if len(key) <= MAX_KEY:
        return key
    cause = f"metric name {key[:40]!r}... has {len(key)} characters, more than {MAX_KEY}"
    notices.misused("key", cause, "the rest is cut off", "Shorten it")
    return key[:MAX_KEY]
