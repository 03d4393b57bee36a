"""use_artifact(): from what a script calls an artifact to a version of it, through the files of runs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

from respool.artifacts.artifact import Artifact, Fetch, made_of
from respool.artifacts.committing import index_name, manifest_name
from respool.artifacts.manifest import Known, Reference, known_of, load

FetchOf = Callable[[str | None], Fetch]
"""How to fetch files of a run, by its path; None is the current one."""


def found_in_run(run_path: str | None, asked: Reference, index: Any, fetch_of: FetchOf) -> Artifact | None:
    """The version in one run; None when that run logged none of this name. Raises FileNotFoundError when it did, and
    the alias means nothing, CommError when nobody could be asked.
    """
    fetch = fetch_of(run_path)
    known = known_of(index, asked.name) or _filed(fetch, asked.name)
    if known is None:
        return None
    version = known.version_of(asked.alias)
    if version is None:
        has = ", ".join(["latest", *sorted(known.aliases), *(f"v{n}" for n in range(known.version + 1))][:20])
        raise FileNotFoundError(f"The artifact {asked.name} has no version {asked.alias!r}. It has {has}.")
    return made_of(load(read(fetch, manifest_name(asked.name, version))), fetch)


def _filed(fetch: Fetch, name: str) -> Known | None:
    try:
        found = json.loads(read(fetch, index_name(name)))
    except (FileNotFoundError, ValueError):
        return None
    return known_of({name: found}, name)


def read(fetch: Fetch, name: str) -> bytes:
    """The bytes of a small file of a run."""
    with tempfile.TemporaryDirectory(prefix="respool-") as folder:
        path = os.path.join(folder, "file")
        fetch(name, path)
        with open(path, "rb") as file:
            return file.read()
