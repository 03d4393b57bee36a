"""`Artifact`: a set of files that is logged as one, or one that was."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Self

from respool.artifacts.draft import Draft, inside_of
from respool.artifacts.manifest import Entry, Manifest, hashed
from respool.artifacts.member import Listing, Member
from respool.compat import absent

Fetch = Callable[[str, str], None]
"""Copies a file of the run, by its name there, to a path. Raises FileNotFoundError or CommError."""


class Artifact(Draft):
    """Made by a script, a draft to which files are added; log_artifact() makes it a version. From use_artifact(),
    a version whose files can be downloaded.
    """

    _fetch: Fetch | None = None

    @property
    def name(self) -> str:
        """Its name; of a version NAME:vN."""
        return self._name if self._committed is None else f"{self._name}:{self.version}"

    @property
    def source_name(self) -> str:
        """The same: nothing is linked here."""
        return self.name

    qualified_name = source_name

    @property
    def collection_name(self) -> str:
        """Its name without a version."""
        return self._name

    @property
    def version(self) -> str:
        """VN. Raises ValueError for a draft."""
        return f"v{self._manifest().version}"

    @property
    def aliases(self) -> list[str]:
        """What it was logged as, "latest" apart."""
        return list(self._manifest().aliases)

    @property
    def digest(self) -> str:
        """SHA-256 over its files."""
        return self._manifest().digest

    id = digest

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(one.size for one in self._manifest().entries)

    @property
    def state(self) -> str:
        """COMMITTED, or PENDING for a draft."""
        return "PENDING" if self._committed is None else "COMMITTED"

    @property
    def created_at(self) -> float:
        """When it was logged, in seconds since the epoch."""
        return self._manifest().created_at

    @property
    def manifest(self) -> Any:
        """Its `entries` by their path."""
        return Listing({one.path: Member(self, one) for one in self._manifest().entries})

    def files(self, names: list[str] | None = None, **_: Any) -> list[Any]:
        """Its files."""
        return [one for path, one in self.manifest.entries.items() if names is None or path in names]

    def get_entry(self, name: Any) -> Any:
        """One file. Raises KeyError when it has none of that name."""
        return self.manifest.entries[inside_of(os.fspath(name))]

    get_path = get_entry

    def download(self, root: Any = None, path_prefix: Any = None, **_: Any) -> str:
        """Put its files below `root`, or ./artifacts/NAME:vN, and return that folder. Raises FileNotFoundError or
        CommError when one cannot be had. Files whose content is there already stay.
        """
        folder = os.fsdecode(root) if root is not None else os.path.join("artifacts", self.name)
        for one in self._manifest().entries:
            if one.ref is None and (path_prefix is None or one.path.startswith(os.fspath(path_prefix))):
                self.place(one, folder)
        return folder

    checkout = download

    def file(self, root: Any = None) -> str:
        """Download its only file; the path of it. Raises ValueError when it has several."""
        (entry, *more) = self._manifest().entries
        if more:
            raise ValueError(f"The artifact {self.name} has {len(more) + 1} files. Use download().")
        return os.path.join(self.download(root), entry.path)

    def place(self, entry: Entry, folder: str) -> str:
        """Download one file below `folder`; its path."""
        target = os.path.join(folder, entry.path)
        if not (os.path.isfile(target) and hashed(target) == (entry.sha256, entry.size)):
            os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
            assert self._fetch is not None, "a committed artifact knows where it is"
            self._fetch(f"{self._manifest().folder}/{entry.path}", target)
        return target

    def verify(self, root: Any = None) -> None:
        """Raises ValueError when a downloaded file is not what was logged."""
        folder = os.fsdecode(root) if root is not None else os.path.join("artifacts", self.name)
        for one in self._manifest().entries:
            if one.ref is None and hashed(os.path.join(folder, one.path)) != (one.sha256, one.size):
                raise ValueError(
                    f"{one.path} of {self.name} below {folder} is not what was logged. Download it again."
                )

    def wait(self, timeout: float | None = None) -> Self:  # noqa: ARG002 - W&B's signature
        """Returns at once: log_artifact() returns when the artifact is in the spool."""
        return self

    def committed(self, manifest: Manifest, fetch: Fetch) -> Self:
        """It is this version now. What was staged for it is removed."""
        self._committed, self._fetch = manifest, fetch
        if self._staging is not None:
            self._staging.cleanup()
            self._staging = None
        return self

    def _manifest(self) -> Manifest:
        if self._committed is None:
            raise ValueError(f"The artifact {self._name} was not logged yet. Pass it to log_artifact().")
        return self._committed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return absent(f"Artifact.{name}")

    def __repr__(self) -> str:
        return f"<respool artifact {self.name} ({self.type})>"


def made_of(manifest: Manifest, fetch: Fetch) -> Artifact:
    """The artifact of a version."""
    artifact = Artifact(manifest.name, manifest.type, manifest.description, manifest.metadata)
    return artifact.committed(manifest, fetch)
