"""What the spools of this node know of a run: its earlier attempts, where the last one stopped, and its files.

Only whole frames are believed. An attempt that never logged a row is a candidate that ended: it moves nothing.
The spools are the one that this process writes to and those of the user's own daemons, whose journal also tells
of attempts that are gone. All of them are only read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from respool import own_daemons, spool_papers
from respool.process import alive
from respool.spool_papers import Remembered, names
from respool.wire.attempt import AttemptFile, Request, WriterFile, parse_request
from respool.wire.frames import Frame, walk
from respool.wire.identity import FIRST_JOINED, attempt_id_of
from respool.wire.segment import DATA, parse_segment_name
from respool.wire.view import View


class Earlier(NamedTuple):
    """An attempt found in a spool, its primary folded. `live`: a writer of it runs here and has not ended. Of
    one that only a journal remembers, `directory` is empty. `writers` are all who ever wrote into it, first
    who made it; `ended` the slots of those who recorded their end.
    """

    directory: str
    file: AttemptFile
    request: Request
    view: View
    live: bool
    writers: tuple[WriterFile, ...] = ()
    ended: frozenset[int] = frozenset()
    noticed: bool = False

    @property
    def moved(self) -> bool:
        """Whether it is more than a candidate."""
        return bool(self.view.rows) or self.view.cut is not None

    @property
    def finished(self) -> bool:
        """Whether its primary finished, and no other writer of it lives."""
        return not self.live and self.done

    @property
    def done(self) -> bool:
        """Whether its primary ended with 0. Who caught a notice's signal and fell off its end is not done, unless it
        called finish(), or said itself that it is preempted: that one knew.
        """
        view = self.view
        unfinished = (self.noticed or view.noticed) and not (view.preempting or view.explicit)
        return (view.state, view.exit_code) == ("ended", 0) and not unfinished

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


def roots_of(spool: str, environ: Mapping[str, str]) -> list[str]:
    """Where attempts of this user may lie on this node: `spool`, then the spools of their own daemons."""
    return list(dict.fromkeys([os.path.realpath(spool), *own_daemons.folders(environ)]))


def attempts_of(roots: Sequence[str], project: str, run_id: str, entity: str | None) -> list[Earlier]:
    """The run's attempts in all of `roots`, oldest first, each once. Folders that cannot be read are passed over
    with a warning.
    """
    found: dict[str, Earlier] = {}
    for root in roots:
        for name in names(root):
            one = _earlier(os.path.join(root, name), project, run_id)
            if one is not None and entity in {None, one.request.entity or entity}:
                kept = found.get(one.file.attempt_id)
                found[one.file.attempt_id] = one if kept is None else _merged(kept, one)
    for root in roots:
        memory = spool_papers.remembered(root, project, run_id)
        if memory is not None and memory.head and entity in {None, memory.entity or entity}:
            found[memory.head] = _with_memory(found.get(memory.head), memory)
    spelled = next((one.request.original_id for one in found.values()), run_id)
    for root in roots:
        for launch, generation in spool_papers.launches(root, project, run_id).items():
            attempt_id = attempt_id_of(project, run_id, launch, generation)
            one = found.get(attempt_id) or _removed(attempt_id, Request(project, run_id, spelled, ""))
            if not one.directory:
                found[attempt_id] = _numbered(one, launch, generation)
    return sorted(found.values(), key=lambda one: one.request.started_at)


def head_of(attempts: list[Earlier]) -> Earlier | None:
    """The attempt to continue: the last that is nobody's parent, of those that logged or rewound if there are
    any. Between branches the one begun last counts.
    """
    moved = [one for one in attempts if one.moved] or attempts
    parents = {one.file.parent for one in moved}
    leaves = [one for one in moved if one.file.attempt_id not in parents]
    return leaves[-1] if leaves else None


def cut_of(one: Earlier) -> int | None:
    """The step from which an attempt hides its ancestors, or None: its rewind, else its first row unless that only
    came late.
    """
    if one.view.cut is not None or not one.view.first_steps:
        return one.view.cut
    first, last = one.view.first_steps[0], one.file.step - 1
    late = len(one.view.first_steps) > 1 and first <= last < one.view.first_steps[1]
    return None if late or one.file.parent is None else first


def frames_of(directory: str, segment: str) -> list[Frame]:
    """Every whole frame of one segment file; what is torn or damaged ends it. None where an adopter, to whom the
    hub has said that it has all of it, was quicker and removed the file.
    """
    try:
        with open(os.path.join(directory, segment), "rb") as file:
            return walk(file.read(), DATA).frames
    except FileNotFoundError:
        return []


def lineage_of(attempts: list[Earlier], head: Earlier | None) -> list[Earlier]:
    """The head, its parent, and so on, as far as they are known here."""
    by_id = {one.file.attempt_id: one for one in attempts}
    chain: list[Earlier] = []
    while head is not None and head not in chain:
        chain.append(head)
        if not head.directory:
            return chain + [one for one in reversed(attempts) if one not in chain]
        head = by_id.get(head.file.parent or "")
    return chain


def _earlier(directory: str, project: str, run_id: str) -> Earlier | None:
    file = spool_papers.attempt_file(directory)
    if file is None or (file.request.get("project"), file.request.get("run_id")) != (project, run_id):
        return None
    request = parse_request(file.request)
    writers = spool_papers.writers(directory, request)
    noted = spool_papers.progress(directory)
    facts = noted.facts
    numbers = {one.writer for one in writers}
    views = {number: _fold(directory, number, facts.get(number, {})) for number in numbers}
    ended = frozenset(number for number, view in views.items() if view.state == "ended")
    living = any(alive(one.process) and one.writer not in ended for one in writers)
    return Earlier(
        directory, file, request, views[_primary(numbers)], living, tuple(writers), ended, noted.noticed
    )


def _merged(one: Earlier, other: Earlier) -> Earlier:
    """One attempt of which different writers lie in two spools: some of its ranks had a daemon, some had none."""
    slots = {writer.writer for writer in one.writers}
    writers = one.writers + tuple(writer for writer in other.writers if writer.writer not in slots)
    primary = _primary({writer.writer for writer in writers})
    view = one.view if primary in slots else other.view
    return one._replace(
        view=view,
        live=one.live or other.live,
        writers=writers,
        ended=one.ended | other.ended,
        noticed=one.noticed or other.noticed,
    )


def _primary(writers: set[int]) -> int:
    """The slot whose rows decide the step: rank 0, else the first that came with the launch."""
    return min(writers, key=lambda one: (one >= FIRST_JOINED, one))


def _removed(attempt_id: str, request: Request, step: int = 0) -> Earlier:
    """An attempt of which only a journal knows."""
    paper = AttemptFile(attempt_id, request._asdict(), os.getuid(), step=step)
    return Earlier("", paper, request, View(), live=False)


def _numbered(one: Earlier, launch: str, generation: int) -> Earlier:
    request = one.request._replace(launch=launch)
    paper = one.file._replace(request=request._asdict(), generation=generation)
    return one._replace(file=paper, request=request)


def _with_memory(kept: Earlier | None, memory: Remembered) -> Earlier:
    """What a journal adds: to an attempt whose segments are deleted its config and summary, or all of it."""
    if kept is not None:
        view = kept.view
        if not (view.config or view.summary):
            view.config, view.summary = dict(memory.config), dict(memory.summary)
            view.meta = view.meta or dict(memory.meta)
        return kept
    view = View()
    view.config, view.summary, view.meta = dict(memory.config), dict(memory.summary), dict(memory.meta)
    view.last_step, view.rows = memory.step - 1, min(memory.step, 1)
    view.state = None if memory.state == "running" else "ended"
    view.exit_code = 0 if memory.state == "finished" else None
    request = Request(
        memory.project,
        memory.run_id,
        memory.original_id,
        "",
        entity=memory.entity,
        started_at=memory.as_of or memory.updated_at,
    )
    return _removed(memory.head or "", request, memory.step)._replace(view=view)


def _fold(directory: str, writer: int, deleted: dict[str, Any]) -> View:
    """The view of a writer. The first segment, and what is noted of `deleted` ones before it, have what decides a
    cut; the last one with frames has the rest, for each begins with a snapshot of all before.
    """
    early, view = View(), View()
    early.take_facts(deleted)
    segments = segments_of(directory, writer)
    last, frames = _last(directory, segments)
    for frame in frames:
        view.apply(frame)
    if segments and segments[0] != last:
        for frame in frames_of(directory, segments[0]):
            early.apply(frame)
    view.rows += early.rows
    view.last_step = max(view.last_step, early.last_step)
    view.first_steps = (early.first_steps + view.first_steps)[:2]
    view.cut = early.cut if early.cut is not None else view.cut
    if view.state is None:
        view.state, view.exit_code = early.state, early.exit_code
    return view


def _last(directory: str, segments: list[str]) -> tuple[str | None, list[Frame]]:
    for segment in reversed(segments):
        found = frames_of(directory, segment)
        if found:
            return segment, found
    return None, []


def segments_of(directory: str, writer: int) -> list[str]:
    """The names of a writer's segments, in order."""
    numbered = ((parse_segment_name(name), name) for name in names(directory))
    return [
        name
        for where, name in sorted((where, name) for where, name in numbered if where)
        if where[0] == writer
    ]
