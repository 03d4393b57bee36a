"""Artifacts of other runs, found through the hub: a name alone means the version logged last in the project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from respool.artifacts.artifact import Artifact, Fetch, made_of
from respool.artifacts.committing import manifest_name
from respool.artifacts.finding import read
from respool.artifacts.manifest import FOLDER, MANIFEST, known_of, load, reference_of

if TYPE_CHECKING:
    from respool.apis.run import Run


def found_by(runs: Iterable[Run], text: str) -> Artifact:
    """NAME[:ALIAS] among what these runs logged: of those that have the alias, the one logged last. Raises
    FileNotFoundError.
    """
    asked = reference_of(text)
    best: tuple[float, Run, int] | None = None
    for run in runs:
        known = known_of(run.artifact_index, asked.name)
        version = known.version_of(asked.alias) if known is not None else None
        if known is not None and version is not None and (best is None or known.time > best[0]):
            best = (known.time, run, version)
    if best is None:
        raise FileNotFoundError(
            f"No run logged an artifact {text!r}. List what one did: run.logged_artifacts()."
        )
    fetch = fetch_of(best[1])
    return made_of(load(read(fetch, manifest_name(asked.name, best[2]))), fetch)


def logged_by(run: Run) -> list[Any]:
    """Every version that a run logged."""
    fetch = fetch_of(run)
    names = [file.name for file in run.files() if file.name.startswith(f"{FOLDER}/")]
    return [made_of(load(read(fetch, name)), fetch) for name in names if name.endswith(f"/{MANIFEST}")]


def fetch_of(run: Run) -> Fetch:
    """Copies files of a run from the hub."""

    def fetch(name: str, target: str) -> None:
        run.fetch(name, target)

    return fetch
