"""A disk whose power can be cut: notes what a module does to files, and says what may be left of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Act(NamedTuple):
    """`what`: make (a file), folder, write, sync (a file's data), rename, settle (a folder's entries), or a remark."""

    what: str
    path: str
    more: Any = None


class NotedOs:
    """Stands for the module `os`: does everything, and notes in order what a power cut could undo."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self._open: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        fd = os.open(path, flags, mode)
        self._open[fd] = path
        if flags & os.O_CREAT:
            self.acts.append(Act("make", path))
        return fd

    def write(self, fd: int, data: Any) -> int:
        count = os.write(fd, data)
        self.acts.append(Act("write", self._open[fd], bytes(data[:count])))
        return count

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)
        self.acts.append(Act("sync", self._open[fd]))

    def fsync(self, fd: int) -> None:
        os.fsync(fd)
        folder = os.path.isdir(self._open[fd])
        self.acts.append(Act("settle" if folder else "sync", self._open[fd]))

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)
        self.acts.append(Act("rename", old, new))

    def makedirs(self, path: str, mode: int = 0o777, *, exist_ok: bool = False) -> None:
        there = os.path.isdir(path)
        os.makedirs(path, mode, exist_ok=exist_ok)
        if not there:
            self.acts.append(Act("folder", path))

    def remark(self, text: str) -> None:
        """So much was promised by now."""
        self.acts.append(Act("remark", text))


def leftovers(acts: list[Act]) -> Iterator[dict[str, bytes]]:
    """The files that may be there after a cut behind these acts: with every entry that was made, and data that was not
    synced lost (as zeros); and with those entries only whose folder was settled later.
    """
    yield _after(acts, every=True)
    yield _after(acts, every=False)


def lay(files: dict[str, bytes], old: str, new: Path) -> None:
    """Put what was left of folder `old` into `new`."""
    for path, data in files.items():
        target = new / os.path.relpath(path, old)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _after(acts: list[Act], *, every: bool) -> dict[str, bytes]:
    names: dict[str, int] = {}
    owner: dict[str, int] = {}
    written: dict[int, bytes] = {}
    synced: dict[int, int] = {}
    folders: dict[str, bool] = {}
    for at, (what, path, more) in enumerate(acts):
        match what:
            case "make":
                owner[path] = at
                written[at], synced[at] = b"", 0
                if every or _settled(acts, at, os.path.dirname(path)):
                    names[path] = at
            case "write":
                written[owner[path]] += more
            case "sync":
                synced[owner[path]] = len(written[owner[path]])
            case "rename":
                owner[more] = owner.pop(path)
                if every or _settled(acts, at, os.path.dirname(more)):
                    names.pop(path, None)
                    names[more] = owner[more]
            case "folder":
                folders[path] = every or _settled(acts, at, os.path.dirname(path))
    return {
        path: written[one][: synced[one]] + (b"\0" * (len(written[one]) - synced[one]) if every else b"")
        for path, one in names.items()
        if folders.get(os.path.dirname(path), True)
    }


def _settled(acts: list[Act], at: int, folder: str) -> bool:
    return any(one.what == "settle" and one.path == folder for one in acts[at + 1 :])
