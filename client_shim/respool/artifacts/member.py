"""One file of a logged artifact."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from respool.artifacts.manifest import Entry

if TYPE_CHECKING:
    from respool.artifacts.artifact import Artifact


class Listing(NamedTuple):
    """Files by their path in the artifact."""

    entries: dict[str, Any]


class Member:
    """One file of an artifact: `path`, `name`, `size`, `digest`."""

    def __init__(self, artifact: Artifact, entry: Entry) -> None:
        self._artifact = artifact
        self.path = self.name = entry.path
        self.size, self.digest, self.ref = entry.size, entry.sha256, entry.ref
        self._entry = entry

    def download(self, root: Any = None, **_: Any) -> str:
        """Put it below `root`, or ./artifacts/NAME:vN; its path."""
        folder = os.fsdecode(root) if root is not None else os.path.join("artifacts", self._artifact.name)
        return self._artifact.place(self._entry, folder)

    def __repr__(self) -> str:
        return f"<respool file {self.path} of {self._artifact.name}>"
