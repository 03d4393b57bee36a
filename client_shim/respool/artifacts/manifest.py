"""What an artifact consists of, as data, and the index of the versions that a run logged of each name."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

FOLDER = "artifacts"
MANIFEST = "manifest.json"
INDEX = "index.json"
CHUNK = 1 << 20
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Entry(NamedTuple):
    """One file of an artifact, or, with `ref`, the URI of something elsewhere that is only named."""

    path: str
    size: int = 0
    sha256: str = ""
    ref: str | None = None


class Manifest(NamedTuple):
    """A committed version. `aliases` are those it was logged with."""

    name: str
    type: str
    version: int
    aliases: list[str]
    entries: list[Entry]
    description: str | None = None
    metadata: dict[str, Any] = {}
    created_at: float = 0.0

    @property
    def digest(self) -> str:
        """SHA-256 over paths and contents."""
        return digest_of(self.entries)

    @property
    def folder(self) -> str:
        """Where its files are in the run."""
        return folder_of(self.name, self.version)

    def dump(self) -> bytes:
        """As JSON."""
        values = {**self._asdict(), "digest": self.digest, "entries": [one._asdict() for one in self.entries]}
        return json.dumps(values, ensure_ascii=False, default=str).encode("utf-8", "replace")


def load(data: bytes) -> Manifest:
    """A manifest from its JSON. Raises ValueError for anything else."""
    try:
        values = json.loads(data)
        known = {key: values[key] for key in Manifest._fields if key in values}
        entries = [
            Entry(**{key: one[key] for key in Entry._fields if key in one})
            for one in values.get("entries", [])
        ]
        return Manifest(**{**known, "entries": entries})
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no manifest of an artifact: {error}") from error


def digest_of(entries: list[Entry]) -> str:
    """Equal for equal files under equal names, in any order."""
    lines = sorted(f"{one.path}\0{one.sha256}\0{one.ref or ''}" for one in entries)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()


def hashed(path: str) -> tuple[str, int]:
    """SHA-256 and size of a file. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
            size += len(data)
    return digest.hexdigest(), size


def folder_of(name: str, version: int) -> str:
    """Where the files of a version are in the run."""
    return f"{FOLDER}/{name}/v{version}"


def spelled(name: str) -> str:
    """An artifact's name in the letters that names have."""
    return "".join(letter if letter in _SAFE else "-" for letter in name).strip(".") or "artifact"


class Known(NamedTuple):
    """What a run's index says of one name: the newest version, its digest and time, and whose an alias is."""

    type: str
    version: int
    digest: str
    time: float
    aliases: dict[str, int]

    def version_of(self, alias: str) -> int | None:
        """The version that `latest`, `vN` or an alias means; None for none."""
        if alias in {"", "latest"}:
            return self.version
        if alias in self.aliases:
            return self.aliases[alias]
        number = alias.removeprefix("v")
        if alias.startswith("v") and number.isdigit() and int(number) <= self.version:
            return int(number)
        return None

    def plain(self) -> dict[str, Any]:
        """As it is kept in the run's meta."""
        return self._asdict()


def known_of(index: Any, name: str) -> Known | None:
    """The index's word on a name, None where it says nothing readable."""
    found = index.get(name) if isinstance(index, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("version"), int):
        return None
    aliases = {str(key): at for key, at in dict(found.get("aliases") or {}).items() if isinstance(at, int)}
    time = found.get("time")
    at = float(time) if isinstance(time, (int, float)) else 0.0
    return Known(str(found.get("type")), found["version"], str(found.get("digest")), at, aliases)


class Reference(NamedTuple):
    """What a script asks for: `[[ENTITY/]PROJECT/[RUN_ID/]]NAME[:ALIAS]`."""

    where: list[str]
    name: str
    alias: str


def reference_of(text: str) -> Reference:
    """The parts of an artifact's path; the alias is "latest" unless given."""
    path, _, alias = str(text).partition(":")
    *where, name = path.strip("/").split("/")
    return Reference(where, spelled(name), alias or "latest")
