"""The papers in an attempt's folder, and a daemon's memory of a run, as read by a process that has no daemon.

Read only. What cannot be read is passed over, with a warning where it should have been readable.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple
from zlib import crc32

from respool import notices
from respool.wire import codec
from respool.wire.attempt import (
    ATTEMPT_FILE,
    PROGRESS_FILE,
    AttemptFile,
    Request,
    WriterFile,
    parse_attempt_file,
    parse_request,
    parse_writer_file,
)
from respool.wire.errors import WireError
from respool.wire.frames import NO_STEP
from respool.wire.shapes import build

JOURNAL = "journal"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Remembered(NamedTuple):
    """A daemon's memory of a run: what outlives the run's segments. `head` is the attempt whose lineage it is, `as_of`
    when the youngest attempt began that the daemon then knew.
    """

    project: str
    run_id: str
    original_id: str
    entity: str | None = None
    head: str | None = None
    state: str = "running"
    step: int = 0
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    updated_at: float = 0.0
    as_of: float = 0.0


class Progress(NamedTuple):
    """What an attempt's keeper noted: per writer the facts of segments that are deleted, the files, and what ranks
    handed over of checkpoints, as in their records, with the time and the last row's step (`logged`). `noticed`: a
    preemption notice stands.
    """

    facts: dict[int, dict[str, Any]] = {}
    files: tuple[dict[str, Any], ...] = ()
    shares: tuple[dict[str, Any], ...] = ()
    noticed: bool = False


def attempt_file(directory: str) -> AttemptFile | None:
    """`attempt.json` of a folder; None without one, and for one that cannot be used, which is warned of."""
    path = os.path.join(directory, ATTEMPT_FILE)
    try:
        found = parse_attempt_file(json.loads(_read(path)), path)
        parse_request(found.request)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, WireError) as error:
        notices.warn(f"attempt {path}", f"{path} cannot be used and is passed over: {error}")
        return None
    return found


def writers(directory: str, request: Request) -> list[WriterFile]:
    """Everybody who writes, or wrote, into an attempt: first who made it, then the others by slot."""
    maker = WriterFile(
        request.writer,
        request.incarnation,
        request.boot_id,
        request.pid,
        request.start_time,
        request.node,
        started_at=request.started_at,
    )
    found = []
    for name in names(directory):
        if name[:1] == "w" and name.endswith(".json"):
            try:
                path = os.path.join(directory, name)
                found.append(parse_writer_file(json.loads(_read(path)), path))
            except (OSError, ValueError, WireError):
                continue
    return [maker, *sorted((one for one in found if one.writer != maker.writer), key=lambda one: one.writer)]


def progress(directory: str) -> Progress:
    """An attempt's `progress`; empty where there is none, or a damaged one."""
    try:
        data = _read(os.path.join(directory, PROGRESS_FILE))
        if crc32(data[4:]).to_bytes(4, "little") != data[:4]:
            return Progress()
        kept = codec.unpack_map(data[4:])
        facts = {int(writer): dict(start[2]) for writer, start in (kept.get("base") or {}).items()}
        files = [_file(values) for values in (kept.get("files") or {}).values()]
        shares = [_share(values) for values in kept.get("checkpoints") or ()]
    except (OSError, WireError, TypeError, ValueError, IndexError, KeyError, AttributeError):
        return Progress()
    return Progress(facts, tuple(files), tuple(shares), bool(kept.get("notices")))


def remembered(root: str, project: str, run_id: str) -> Remembered | None:
    """What the daemon of this folder of attempts remembers of a run."""
    found = _journal(root, project, run_id, ".json")
    try:
        memory: Remembered = build(Remembered, found)
    except WireError:
        return None
    return memory


def launches(root: str, project: str, run_id: str) -> dict[str, int]:
    """For each launch whose attempts in a run that daemon has removed, the greatest of their generations."""
    found = _journal(root, project, run_id, ".launches")
    pairs = found.items() if isinstance(found, dict) else ()
    return {launch: number for launch, number in pairs if isinstance(number, int)}


def _journal(root: str, project: str, run_id: str, ending: str) -> Any:
    digest = blake2b(f"{project}\0{run_id}".encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
    try:
        return json.loads(_read(os.path.join(root, JOURNAL, f"{run_id}-{digest}{ending}")))
    except (OSError, ValueError):
        return None


def names(folder: str) -> Iterator[str]:
    """The names in a folder, sorted; none where it cannot be read."""
    try:
        return iter(sorted(os.listdir(folder)))
    except OSError:
        return iter(())


def _read(path: str) -> bytes:
    with open(os.open(path, _READ), "rb") as file:
        return file.read()


def _file(values: list[Any]) -> dict[str, Any]:
    token, name, size, writer, seq, step = values[:6]
    numbers = {"size": int(size), "writer": int(writer), "seq": int(seq), "step": int(step)}
    return {"name": str(name), "blob": str(token), **numbers}


def _share(values: dict[str, Any]) -> dict[str, Any]:
    logged = values.get("logged")
    parts = [
        {"name": str(name), "blob": str(token), "size": int(size)} for name, token, size in values["parts"]
    ]
    numbers = {"step": int(values["step"]), "logged": NO_STEP if logged is None else int(logged)}
    return {**values, **numbers, "name": str(values["name"]), "time": float(values["time"]), "parts": parts}
