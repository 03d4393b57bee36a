"""What a spool knows of a run: its earlier attempts, where the last one stopped, and its files.

Only whole frames are believed. An attempt that never logged a row is a candidate that ended: it moves nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from respool import notices
from respool.process import alive
from respool.wire.attempt import ATTEMPT_FILE, BLOBS, AttemptFile, Request, parse_attempt_file, parse_request
from respool.wire.errors import WireError
from respool.wire.frames import Frame, Kind, walk
from respool.wire.segment import DATA, parse_segment_name
from respool.wire.view import View


class Earlier(NamedTuple):
    """An attempt found in the spool, folded. `live`: its process runs here and has not ended the attempt."""

    directory: str
    file: AttemptFile
    request: Request
    view: View
    live: bool

    @property
    def next_step(self) -> int:
        """The step its lineage continues with: one past the last that its cut leaves visible."""
        last, view = self.file.step - 1, self.view
        if view.cut is not None:
            last = min(last, view.cut - 1)
        elif view.first_steps:
            first = view.first_steps[0]
            late = len(view.first_steps) > 1 and first <= last < view.first_steps[1]
            last = last if late else min(last, first - 1)
        return max(last, view.last_step) + 1


class FileVersion(NamedTuple):
    """A committed snapshot of a file, on this disk."""

    path: str
    size: int
    attempt_id: str
    step: int


def attempts_of(spool: str, project: str, run_id: str, entity: str | None) -> list[Earlier]:
    """The run's attempts in `spool`, oldest first. Folders that cannot be read are passed over with a warning."""
    found: list[Earlier] = []
    for name in _names(spool):
        directory = os.path.join(spool, name)
        file = _attempt_file(directory)
        if file is None or _named(file) != (project, run_id):
            continue
        request = parse_request(file.request)
        if entity is None or request.entity in {None, entity}:
            view = _fold(directory)
            ended = view.state == "ended"
            found.append(Earlier(directory, file, request, view, not ended and alive(request.process)))
    return sorted(found, key=lambda one: one.request.started_at)


def head_of(attempts: list[Earlier]) -> Earlier | None:
    """The attempt to continue: the last that is nobody's parent, of those that logged or rewound if there are
    any. Between branches the one begun last counts.
    """
    moved = [one for one in attempts if one.view.rows or one.view.cut is not None] or attempts
    parents = {one.file.parent for one in moved}
    leaves = [one for one in moved if one.file.attempt_id not in parents]
    return leaves[-1] if leaves else None


def newest_file(attempts: list[Earlier], head: Earlier | None, name: str) -> FileVersion | None:
    """The newest committed version of `name` along the lineage of `head`: newest attempt, then newest record."""
    by_id = {one.file.attempt_id: one for one in attempts}
    seen: set[str] = set()
    while head is not None and head.file.attempt_id not in seen:
        seen.add(head.file.attempt_id)
        for frame in reversed(_files(head.directory)):
            version = _version(head, frame, name)
            if version is not None:
                return version
        head = by_id.get(head.file.parent or "")
    return None


def frames_of(directory: str, segment: str) -> list[Frame]:
    """Every whole frame of one segment file; what is torn or damaged ends it."""
    with open(os.path.join(directory, segment), "rb") as file:
        return walk(file.read(), DATA).frames


def _fold(directory: str) -> View:
    """The view of writer 0. The first segment has what decides a cut, the last one with frames the rest: each
    begins with a snapshot of all before.
    """
    view = View()
    segments = _segments(directory)
    for frame in _from_last(directory, segments):
        view.apply(frame)
    if len(segments) > 1:
        first = View()
        for frame in frames_of(directory, segments[0]):
            first.apply(frame)
        view.rows += first.rows
        view.first_steps, view.cut = first.first_steps, first.cut
    return view


def _from_last(directory: str, segments: list[str]) -> list[Frame]:
    for segment in reversed(segments):
        found = frames_of(directory, segment)
        if found:
            return found
    return []


def _files(directory: str) -> list[Frame]:
    found = (frame for segment in _segments(directory) for frame in frames_of(directory, segment))
    return [frame for frame in found if frame.kind == Kind.FILE]


def _version(attempt: Earlier, frame: Frame, name: str) -> FileVersion | None:
    view = View()
    view.apply(frame)
    record = view.files.get(name)
    if record is None:
        return None
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
    return FileVersion(path, size, attempt.file.attempt_id, frame.step)


def _segments(directory: str) -> list[str]:
    numbered = ((parse_segment_name(name), name) for name in _names(directory))
    return [
        name for where, name in sorted((where, name) for where, name in numbered if where) if where[0] == 0
    ]


def _names(folder: str) -> Iterator[str]:
    try:
        return iter(sorted(os.listdir(folder)))
    except OSError:
        return iter(())


def _named(file: AttemptFile) -> tuple[object, object]:
    return file.request.get("project"), file.request.get("run_id")


def _attempt_file(directory: str) -> AttemptFile | None:
    path = os.path.join(directory, ATTEMPT_FILE)
    try:
        with open(path, encoding="utf-8") as file:
            found = parse_attempt_file(json.load(file), path)
        parse_request(found.request)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, WireError) as error:
        notices.warn(f"attempt {path}", f"{path} cannot be used and is passed over: {error}")
        return None
    return found
