"""What people call a run: name, notes, tags, group and job type, as they are kept."""

from __future__ import annotations

from typing import Any

from respool import notices
from respool.errors import UsageError
from respool.wire.limits import MAX_LABEL, MAX_NOTES, MAX_TAG, MAX_TAGS

_LIMITS = {"name": MAX_LABEL, "notes": MAX_NOTES, "group": MAX_LABEL, "job_type": MAX_LABEL}


def text_of(name: str, value: Any) -> str | None:
    """A text or None. Raises UsageError for anything else, and for a text that no UTF-8 can hold."""
    if value is None:
        return None
    if not isinstance(value, str):
        kind = type(value).__name__
        raise UsageError(f"{name} is {notices.shown(value, 80)}, of type {kind}. Pass a string.")
    if readable(value) != value:
        raise UsageError(f"{name} is {value!a:.80}, which holds half of a character. Pass whole characters.")
    return value


def tags_of(value: Any) -> list[str]:
    """Tags from one text or from several. Raises UsageError."""
    try:
        given = [value] if isinstance(value, str) else [str(tag) for tag in value]
    except TypeError:
        kind = type(value).__name__
        raise UsageError(
            f"tags is {notices.shown(value, 80)}, of type {kind}. Pass a list of strings."
        ) from None
    return [str(text_of("a tag", tag)) for tag in given]


def fitting(meta: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """What a run is called, each text cut to its limit with one warning. Raises UsageError if strict."""
    cut = {
        name: _cut(name, value, _LIMITS[name], strict=strict) if name in _LIMITS and value else value
        for name, value in meta.items()
    }
    tags = cut.get("tags")
    if not tags:
        return cut
    if len(tags) > MAX_TAGS:
        notices.misused(
            "tags",
            f"tags has {len(tags)} entries, more than {MAX_TAGS}",
            f"the first {MAX_TAGS} are kept",
            "Pass fewer tags, or put them into config",
            strict=strict,
        )
    return {**cut, "tags": [_cut("a tag", tag, MAX_TAG, strict=strict) for tag in tags[:MAX_TAGS]]}


def renamed(changes: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """The same for a run that is going on: what cannot be used is left out with one warning."""
    usable: dict[str, Any] = {}
    for name, value in changes.items():
        try:
            if name == "tags":
                usable[name] = [] if value is None else tags_of(value)
            else:
                usable[name] = text_of(name, value) if name in _LIMITS else value
        except UsageError as error:
            if strict:
                raise
            notices.warn(f"text {name}", f"{error} It stays as it was.")
    return fitting(usable, strict=strict)


def readable(text: str) -> str:
    """`text` with the halves of characters (lone surrogates, as in file names that are no UTF-8) spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(name: str, text: str, limit: int, *, strict: bool) -> str:
    if len(text) <= limit:
        return text
    notices.misused(
        f"long {name}",
        f"{name} has {len(text)} characters, more than {limit}",
        "the rest is not kept",
        "Shorten it, or save() the text as a file",
        strict=strict,
    )
    return text[:limit]
