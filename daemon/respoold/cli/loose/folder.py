"""The attempts in a folder, by their papers."""

from __future__ import annotations

import os
import pwd
from typing import NamedTuple

from respool import spool_papers
from respool.process import alive, boot_id
from respool.wire.attempt import AttemptFile, Request, WriterFile, parse_request
from respoold.cli.errors import CommandError, Exit
from respoold.io.disk import attempts_in

BELOW = os.path.join("respool", "spool")
"""Where a process without a daemon keeps its attempts, below the folder that it was started with."""


class Lying(NamedTuple):
    """One attempt as it lies in a folder."""

    directory: str
    file: AttemptFile
    request: Request
    writers: list[WriterFile]

    @property
    def entity(self) -> str | None:
        return self.file.entity or self.request.entity


def attempts(named: str) -> list[Lying]:
    """All that lie in the folder, oldest first, parents before their children. Raises CommandError for a folder that
    holds none.
    """
    found = lying_in(named)
    if not found:
        cause = f"There are no attempts in {named!r}."
        advice = "Name a spool: the folder that `respool.init` printed, a daemon's --spool, or a copy of one."
        raise CommandError(Exit.USAGE, cause, advice)
    return found


def lying_in(named: str) -> list[Lying]:
    """The same of a folder that may hold none. Raises CommandError for what is no folder, or cannot be read."""
    found = [one for one in map(_lying, _folders(named)) if one is not None]
    return _parents_first(sorted(found, key=lambda one: (one.request.started_at, one.file.attempt_id)))


def _folders(named: str) -> list[str]:
    if not os.path.isdir(named):
        raise CommandError(Exit.USAGE, f"There is no folder {named!r}.", "Name a folder that holds a spool.")
    try:
        os.listdir(named)
        return attempts_in(named) or attempts_in(os.path.join(named, BELOW))
    except FileNotFoundError:
        return []
    except OSError as error:
        cause = f"The folder {error.filename or named} cannot be read: {error.strerror}."
        raise CommandError(
            Exit.USAGE, cause, "Ask its owner, or copy the folder to a place of yours."
        ) from error


def _lying(directory: str) -> Lying | None:
    file = spool_papers.attempt_file(directory)
    if file is None:
        return None
    request = parse_request(file.request)
    return Lying(directory, file, request, spool_papers.writers(directory, request))


def _parents_first(found: list[Lying]) -> list[Lying]:
    waiting = {one.file.attempt_id: one for one in found}
    ordered: list[Lying] = []

    def place(one: Lying) -> None:
        parent = waiting.get(one.file.parent or "")
        if waiting.pop(one.file.attempt_id, None) is None:
            return
        if parent is not None:
            place(parent)
        ordered.append(one)

    for one in found:
        place(one)
    return ordered


def lives(writer: WriterFile) -> bool | None:
    """Whether that process runs; None where this machine cannot know."""
    if writer.boot_id == boot_id():
        return alive(writer.process)
    return False if writer.node == os.uname().nodename else None


def owner_of(file: AttemptFile) -> str:
    """What the attempt's owner is called here."""
    try:
        return pwd.getpwuid(file.uid).pw_name
    except KeyError:
        return f"uid{file.uid}"
