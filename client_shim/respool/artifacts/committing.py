"""log_artifact(): the files of a version, then its manifest, then the index of its name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from time import time
from typing import Any, NamedTuple

from respool import notices
from respool.artifacts.artifact import Artifact, Fetch
from respool.artifacts.manifest import (
    FOLDER,
    INDEX,
    MANIFEST,
    Entry,
    Known,
    Manifest,
    digest_of,
    folder_of,
    hashed,
    known_of,
)

Keep = Callable[[str, str], bool]
"""Commits the file at a path under a name in the run; says whether it was kept."""


class Logged(NamedTuple):
    """A version that was logged, and what the run's index says of its name from now on."""

    manifest: Manifest
    known: Known


def log(artifact: Artifact, aliases: list[str], index: Any, keep: Keep) -> Logged | None:
    """Keep a draft as the next version of its name; None, with a warning, when one of its files was not kept:
    then no version is there. A draft whose files equal the newest version's only adds its aliases to that one.
    """
    name = artifact.collection_name
    known = known_of(index, name)
    entries = _entries(artifact)
    if entries is None:
        return None
    same = known is not None and known.digest == digest_of(entries)
    version = 0 if known is None else known.version if same else known.version + 1
    held = (
        [alias for alias, at in known.aliases.items() if at == version] if known is not None and same else []
    )
    named = sorted({*held, *(alias for alias in aliases if alias not in {"", "latest", f"v{version}"})})
    manifest = Manifest(
        name, artifact.type, version, named, entries, artifact.description, artifact.metadata, time()
    )
    for inside, path in () if same else artifact.sources.items():
        if not keep(path, f"{manifest.folder}/{inside}"):
            return _give_up(name, inside)
    moved = {**(known.aliases if known is not None else {}), **dict.fromkeys(named, version)}
    after = Known(artifact.type, version, manifest.digest, manifest.created_at, moved)
    if not _keep_bytes(keep, manifest.dump(), f"{manifest.folder}/{MANIFEST}"):
        return _give_up(name, MANIFEST)
    _keep_bytes(keep, json.dumps(after.plain()).encode(), f"{FOLDER}/{name}/{INDEX}")
    return Logged(manifest, after)


def _entries(artifact: Artifact) -> list[Entry] | None:
    found = [Entry(inside, ref=uri) for inside, uri in artifact.references.items()]
    for inside, path in artifact.sources.items():
        try:
            digest, size = hashed(path)
        except OSError as error:
            cause = f"{path} of the artifact {artifact.collection_name} cannot be read ({error.strerror})"
            notices.misused(
                f"artifact {path}", cause, "it was not logged", "Keep the file until it is logged"
            )
            return None
        found.append(Entry(inside, size, digest))
    return found


def _give_up(name: str, inside: str) -> Logged | None:
    notices.warn(f"artifact {name}", f"the artifact {name} was not logged: its file {inside} was not kept.")
    return None


def _keep_bytes(keep: Keep, data: bytes, name: str) -> bool:
    # In memory, as for media: see respool.media.shelf.
    fd = os.memfd_create("respool-artifact", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        return keep(f"/proc/self/fd/{fd}", name)
    finally:
        os.close(fd)


def artifact_of(path: Any, name: str | None, type: str | None, run_id: str) -> Artifact:  # noqa: A002 - W&B's
    """What log_artifact() makes of a path or a URI. Raises ValueError when nothing is there."""
    text = os.fsdecode(path)
    made = Artifact(name or f"run-{run_id}-{os.path.basename(text.rstrip('/'))}", type or "unspecified")
    if "://" in text:
        made.add_reference(text)
    elif os.path.isdir(text):
        made.add_dir(text)
    else:
        made.add_file(text)
    return made


def manifest_name(name: str, version: int) -> str:
    """The manifest's name in the run."""
    return f"{folder_of(name, version)}/{MANIFEST}"


def index_name(name: str) -> str:
    """The index's name in the run."""
    return f"{FOLDER}/{name}/{INDEX}"


__all__ = ["Fetch", "Logged", "artifact_of", "index_name", "log", "manifest_name"]
