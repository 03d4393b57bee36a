"""The half of `Artifact` that a script fills: files, folders, what it writes, media, references."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from respool import notices
from respool.artifacts.manifest import CHUNK, Manifest, spelled
from respool.errors import UsageError

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory


class Draft:
    """Files by their name inside, and where each is now: read when the artifact is logged. `add_*` raise
    ValueError for what is not there.
    """

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - W&B's name for it
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        self._name = spelled(name)
        if self._name != name:
            cause = f"the artifact's name {name!r} has characters outside of [A-Za-z0-9_-]"
            notices.misused(f"artifact {name}", cause, f"it is called {self._name!r} here", "Rename it")
        self.type = type
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.sources: dict[str, str] = {}
        self.references: dict[str, str] = {}
        self._committed: Manifest | None = None
        self._staging: TemporaryDirectory[str] | None = None

    def add_file(self, local_path: Any, name: str | None = None, *_: Any, **__: Any) -> str:
        """Add a file, under its own name unless `name` is given; returns that. Raises ValueError for no file."""
        path = os.path.abspath(os.fsdecode(local_path))
        if not os.path.isfile(path):
            raise ValueError(
                f"There is no file {os.fsdecode(local_path)!r} to add. Add a folder with add_dir()."
            )
        inside = inside_of(name or os.path.basename(path))
        self._draft().sources[inside] = path
        return inside

    def add_dir(self, local_path: Any, name: str | None = None, **_: Any) -> None:
        """Add every file below a folder, under `name/` if given. Raises ValueError when it is none."""
        root = os.path.abspath(os.fsdecode(local_path))
        if not os.path.isdir(root):
            raise ValueError(
                f"There is no folder {os.fsdecode(local_path)!r} to add. Add a file with add_file()."
            )
        for folder, _folders, names in os.walk(root):
            for one in names:
                path = os.path.join(folder, one)
                below = os.path.relpath(path, root)
                self.add_file(path, os.path.join(name, below) if name else below)

    @contextmanager
    def new_file(self, name: str, mode: str = "x", encoding: str | None = None, **_: Any) -> Iterator[Any]:
        """A file to write, which is part of the artifact when the `with` ends without an exception."""
        path = self._staged(inside_of(name))
        with open(
            path, mode.replace("x", "w"), encoding=None if "b" in mode else encoding or "utf-8"
        ) as file:
            yield file
        self.add_file(path, name)

    def add(self, obj: Any, name: Any, overwrite: bool = False) -> Any:  # noqa: ARG002 - W&B's signature
        """Add a media object under a name, to which its ending is added."""
        from respool.media.shelf import Shelf  # noqa: PLC0415 - an artifact of plain files needs no media

        kept: list[tuple[str, str]] = []

        def keep(source: str, inside: str, _: int) -> bool:
            staged = self._staged(inside_of(inside))
            with open(source, "rb") as given, open(staged, "wb") as file:
                while data := given.read(CHUNK):
                    file.write(data)
            kept.append((inside, staged))
            return True

        if not hasattr(type(obj), "respool_reference"):
            raise UsageError(
                f"Artifact.add() takes media, not {notices.shown(obj, 80)}. Add a file with add_file()."
            )
        obj.respool_reference(Shelf(keep, 0), "object")
        # The object's own file comes last; those before it are what its cells refer to.
        for inside, staged in kept[:-1]:
            self.add_file(staged, inside)
        return self.add_file(kept[-1][1], _with_ending(str(name), kept[-1][0])) if kept else None

    def add_reference(self, uri: Any, name: Any = None, **_: Any) -> Any:
        """Name something elsewhere by its URI. It is recorded, not copied, and download() leaves it out."""
        inside = inside_of(str(name or os.path.basename(str(uri).rstrip("/"))))
        self._draft().references[inside] = str(uri)
        return [inside]

    def remove(self, item: Any) -> None:
        """Take a file that was added out again."""
        inside = inside_of(str(getattr(item, "path", item)))
        for kept in (self.sources, self.references):
            for path in [path for path in kept if path == inside or path.startswith(f"{inside}/")]:
                del kept[path]

    def _draft(self) -> Self:
        if self._committed is not None:
            raise ValueError(
                f"The artifact {self._name} was logged and cannot change. Make a new Artifact()."
            )
        return self

    def _staged(self, inside: str) -> str:
        if self._staging is None:
            import tempfile  # noqa: PLC0415 - only who writes into an artifact needs it

            self._draft()._staging = tempfile.TemporaryDirectory(prefix="respool-artifact-")
        assert self._staging is not None
        path = os.path.join(self._staging.name, inside)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path


def _with_ending(name: str, kept_as: str) -> str:
    """`name` with the ending of the file that it is kept as, which may have two parts: .table.json."""
    last = kept_as.rpartition("_")[2]
    ending = last[last.index(".") :] if "." in last else ""
    return name if name.endswith(ending) else name + ending


def inside_of(name: str) -> str:
    plain = os.path.normpath(name).lstrip("/")
    if plain in {"", ".", ".."} or plain.startswith("../") or "\0" in plain:
        raise ValueError(f"{name!r} is no name of a file in an artifact. Use a relative path.")
    return plain
