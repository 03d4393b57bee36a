"""The first record of every segment: all that a run's maps hold, in part of the room that the segment has."""

from __future__ import annotations

from typing import Any

from respool import notices, row_codec

MAX_SNAPSHOT = 6 << 20
"""Bytes: three quarters of a segment. One that it filled would have room for a single row, and the next one too."""


def packed(view: dict[str, Any]) -> bytes | None:
    """The payload of `view`. The largest values of its summary are replaced by their size where all of it is too
    much: their records are kept, and the hub reads those. None if the rest is too large for any record.
    """
    payload = row_codec.packed(view)
    if len(payload) <= MAX_SNAPSHOT:
        return payload
    return row_codec.pack_map({**view, "summary": _smaller(view)})


def _smaller(view: dict[str, Any]) -> dict[str, Any]:
    summary: dict[str, Any] = dict(view["summary"])
    sizes = {key: row_codec.size_of({key: value}) for key, value in summary.items()}
    room = MAX_SNAPSHOT - row_codec.size_of({**view, "summary": {}})
    total = sum(sizes.values())
    for key in sorted(sizes, key=lambda key: sizes[key], reverse=True):
        if total <= room:
            break
        total -= sizes[key]
        summary[key] = f"<{sizes[key]} bytes, too much for a summary>"
        text = f"summary {key!r:.60} takes {sizes[key]} bytes; a resume may know only its size. save() such data."
        notices.warn(f"large summary {key}", text)
    return summary
