"""The files of a run in the spools of this node: their newest committed versions along a lineage."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from respool import notices, spool_papers
from respool.spool_history import Earlier, frames_of, segments_of
from respool.spool_shown import shown
from respool.wire.attempt import BLOBS
from respool.wire.frames import Kind
from respool.wire.view import View


class FileVersion(NamedTuple):
    """A committed snapshot of a file, on this disk."""

    path: str
    size: int
    attempt_id: str
    step: int


def newest_file(attempts: list[Earlier], head: Earlier | None, name: str) -> FileVersion | None:
    """The newest committed version of `name` along the lineage of `head`: newest attempt, then newest record that no
    cut hides. Before an attempt that is only remembered all that lies here is searched, for its parent is not known.
    """
    for part in shown(attempts, head):
        for record in reversed(_files(part.attempt)):
            named = record["name"] == name and part.shows(int(record["step"]), int(record.get("writer") or 0))
            version = _version(part.attempt, record, name) if named else None
            if version is not None:
                return version
    return None


def _files(attempt: Earlier) -> list[dict[str, Any]]:
    """The FILE records of an attempt, the oldest first: from its segments, and of deleted ones from what its
    keeper noted.
    """
    if not attempt.directory:
        return []
    found = {str(record["blob"]): record for record in spool_papers.progress(attempt.directory).files}
    for writer in {one.writer for one in attempt.writers}:
        for segment in segments_of(attempt.directory, writer):
            for frame in frames_of(attempt.directory, segment):
                if frame.kind == Kind.FILE:
                    view = View()
                    view.apply(frame)
                    found |= {str(one.get("blob")): {**one, "writer": writer} for one in view.files.values()}
    return sorted(found.values(), key=lambda record: int(record["seq"]))


def _version(attempt: Earlier, record: dict[str, Any], name: str) -> FileVersion | None:
    path = os.path.join(attempt.directory, BLOBS, os.path.basename(str(record.get("blob"))))
    try:
        size = os.stat(path).st_size
    except OSError:
        size = -1
    if size != record.get("size"):
        notices.warn(
            f"blob {path}", f"the snapshot {path} of {name} is incomplete; an older version is used."
        )
        return None
    return FileVersion(path, size, attempt.file.attempt_id, int(record["step"]))
