"""A run as a folder: what is in it, and how it is written.

    run.json          the run as `respool show --json` has it: config, summary, state, alerts, attempts ...
    config.json       its config alone
    summary.json      its summary alone
    history.parquet   one line per step as `respool history` has it; history.csv where pyarrow is not installed
    console.jsonl     what it printed, one object a line; of all attempts, as are the next two
    system.jsonl      the load of its processes
    packages.jsonl    what was installed
    files/NAME        the newest version of each file, checked against its digest
    export.json       the format's number, the run's path, the hub, the time, rows, and each file's size and digest

export.json is written last and the folder takes its name after that: what has its name is whole.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from respool.saving import normal_name
from respoold.cli import parquet, words
from respoold.cli.commands.restore import fetch
from respoold.cli.errors import CommandError, Exit
from respoold.cli.history_rows import Query, Row, keys_of, rows
from respoold.cli.hub import Hub
from respoold.cli.runs import RunPath
from respoold.cli.screen import Screen

FORMAT = 1
BESIDE = ("console", "system", "packages")


def place(folder: str, path: RunPath) -> str:
    """Where a run goes below a folder: ENTITY/PROJECT/RUN_ID."""
    return os.path.join(folder, *(_component(part) for part in path))


def _component(name: str) -> str:
    """A name as one folder's name; what a file system reads otherwise is written as in a URL."""
    return quote(name, safe=" @+=,~") if name.strip(".") else name.replace(".", "%2E")


def export(hub: Hub, path: RunPath, target: str, at: float, screen: Screen) -> dict[str, Any]:
    """Write a run to `target`, which is replaced if it is there; what export.json says. Raises CommandError: then
    `target` is as it was.
    """
    with _beside(target) as part:
        run = hub.get(path.url())
        _write(part, "run.json", run)
        for name in ("config", "summary"):
            _write(part, f"{name}.json", run.get(name) or {})
        history, count = _history(hub, path, part)
        for name in BESIDE:
            _lines(os.path.join(part, f"{name}.jsonl"), hub.lines(path.url("beside", name)))
        files, missing = _files(hub, path, part, screen)
        told = {"format": FORMAT, "run": str(path), "hub": hub.address.url, "exported_at": at}
        told |= {"state": run.get("state"), "history": history, "rows": count, "files": files}
        told |= {"missing": missing}
        _write(part, "export.json", told)
    return told


@contextmanager
def _beside(target: str) -> Iterator[str]:
    """A new folder that takes the target's name if the block succeeds, and goes if not."""
    part, old = f"{target}.{os.getpid()}.part", f"{target}.{os.getpid()}.old"
    try:
        os.makedirs(part)
        yield part
        if os.path.lexists(target):
            os.rename(target, old)
        os.rename(part, target)
    except OSError as error:
        cause = f"{error.filename or target} cannot be written: {error.strerror or error}."
        raise CommandError(Exit.USAGE, cause, "Name another folder with -o DIR.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _write(folder: str, name: str, item: Any) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(item, file, ensure_ascii=False, allow_nan=False, indent=2)
        file.write("\n")


def _lines(path: str, found: Iterable[dict[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n" for item in found)


def _history(hub: Hub, path: RunPath, folder: str) -> tuple[str, int]:
    """The name of the table and its number of rows."""

    def found() -> Iterable[Row]:
        return rows(hub, Query(path))

    if find_spec("pyarrow") is not None:
        return "history.parquet", parquet.write(os.path.join(folder, "history.parquet"), found)[0]
    with open(os.path.join(folder, "history.csv"), "w", encoding="utf-8", newline="") as file:
        return "history.csv", write_csv(file, found)


def write_csv(file: Any, found: Callable[[], Iterable[Row]]) -> int:
    """Two passes over the rows, one to learn the columns: nothing is kept but their names. How many rows."""
    names, count = keys_of(found()), 0
    writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in found():
        nested = {key: words.value(item) for key, item in row.items() if isinstance(item, (dict, list))}
        writer.writerow(row | nested)
        count += 1
    return count


def _files(hub: Hub, path: RunPath, folder: str, screen: Screen) -> tuple[list[dict[str, Any]], list[str]]:
    """(what was fetched, the names whose bytes are not where we read)."""
    done, missing = [], []
    for one in hub.get(path.url("files")).get("files") or []:
        name = str(one.get("name"))
        if one.get("here") is False:
            missing.append(name)
            continue
        target = os.path.join(folder, "files", inside(name))
        size, digest = fetch(hub, path, name, None, target, screen)
        done.append({"name": name, "size": size, "digest": digest, "step": one.get("step")})
    return done, missing


def inside(name: str) -> str:
    """A file's place below `files`. Raises CommandError for one that leads out of it."""
    try:
        return normal_name(name)
    except ValueError as error:
        cause = f"The file {name!r} points out of the folder."
        raise CommandError(Exit.BAD, cause, "The hub sent what no hub sends.") from error
