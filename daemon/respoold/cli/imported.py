"""A folder that `respool export` wrote, read again: its run, rows, printed lines and files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from respool.wire.identity import digest_of
from respoold.cli.errors import CommandError, Exit
from respoold.cli.exported import FORMAT
from respoold.cli.parquet import NAMED

Row = dict[str, Any]
_WORDS = {"True": True, "False": False, "true": True, "false": False}
LINES_AT_ONCE = 8192


class Export(NamedTuple):
    """`told` is export.json, `run` run.json. `mark` tells this export from every other."""

    folder: str
    told: dict[str, Any]
    run: dict[str, Any]
    mark: str

    @property
    def name(self) -> str:
        return str(self.told.get("run"))

    def part(self, name: str) -> dict[str, Any]:
        """config.json or summary.json."""
        return _object(self.folder, f"{name}.json")

    def lines(self, name: str) -> Iterator[Row]:
        """The objects of console.jsonl or system.jsonl; none where there is no such file."""
        path = os.path.join(self.folder, f"{name}.jsonl")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    yield _parsed(line, path)

    def rows(self) -> Iterator[Row]:
        """The history, without what a row does not have. Raises CommandError without the package that reads it."""
        path = os.path.join(self.folder, str(self.told.get("history")))
        found = _table(path) if path.endswith(".parquet") else _csv(path)
        for row in found:
            yield {key: _value(item) for key, item in row.items() if item is not None}


def read(folder: str) -> Export:
    """Raises CommandError for a folder that is no export, or is one of a later release."""
    told = _object(folder, "export.json")
    if told.get("format") != FORMAT:
        cause = f"{folder} is an export of format {told.get('format')!r}; this release reads {FORMAT}."
        raise CommandError(Exit.USAGE, cause, "Update respool.")
    mark = digest_of("export", json.dumps(told, sort_keys=True)).hex()
    return Export(folder, told, _object(folder, "run.json"), mark)


def _object(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    try:
        with open(path, encoding="utf-8") as file:
            return _parsed(file.read(), path)
    except OSError as error:
        cause = f"{folder} is no exported run: {name} cannot be read: {error.strerror}."
        advice = "Name a folder that `respool export` wrote: DIR/ENTITY/PROJECT/RUN_ID."
        raise CommandError(Exit.USAGE, cause, advice) from error


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        item = json.loads(text)
    except (ValueError, RecursionError):
        item = None
    if not isinstance(item, dict):
        raise CommandError(Exit.USAGE, f"{path} is damaged: it has no JSON object.", "Export the run again.")
    return item


def _table(path: str) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException  # noqa: PLC0415 - 200 ms, and few want it
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        cause = f"{path} needs the package 'pyarrow', which is not installed."
        raise CommandError(Exit.USAGE, cause, "Install it: pip install pyarrow") from error
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(LINES_AT_ONCE):
                yield from batch.to_pylist()
    except (OSError, ArrowException) as error:
        raise CommandError(Exit.USAGE, f"{path} cannot be read: {error}.", "Export the run again.") from error


def _csv(path: str) -> Iterator[Row]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {key: _of_text(text) for key, text in row.items() if text}
    except OSError as error:
        cause = f"{path} cannot be read: {error.strerror}."
        raise CommandError(Exit.USAGE, cause, "Export the run again.") from error


def _of_text(text: str) -> Any:
    """A cell of a table without types: whole numbers, numbers and truths are taken for what they look like."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _value(item: Any) -> Any:
    """Lists and maps are JSON in the table's cells, and NaN may be a text."""
    if isinstance(item, str) and item in NAMED:
        return NAMED[item]
    if isinstance(item, str) and item[:1] in {"{", "["}:
        try:
            found = json.loads(item)
        except (ValueError, RecursionError):
            return item
        return found if isinstance(found, (dict, list)) else item
    return item
