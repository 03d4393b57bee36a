"""A history as a Parquet file: two passes over the rows, one to learn the columns, one to write them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from respoold.cli.errors import CommandError, Exit

Row = dict[str, Any]
GROUP = 65536
NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_INT = 1 << 63


def write(path: str, rows: Callable[[], Iterable[Row]]) -> tuple[int, int]:
    """Write what `rows` gives, called twice; (rows, columns). What lies at `path` is replaced when all is written.

    Whole numbers become int64, other numbers float64 (so do NaN and Infinity), truths bool; what is none of these,
    or a mixture with them, becomes text, lists and maps as JSON. Raises CommandError without pyarrow.
    """
    arrow, parquet = _pyarrow()
    kinds: dict[str, set[str]] = {}
    for row in rows():
        for name, value in row.items():
            kinds.setdefault(name, set()).add(_kind(value))
    types = {"bool": arrow.bool_(), "int": arrow.int64(), "float": arrow.float64(), "text": arrow.string()}
    columns = {name: _settled(found) for name, found in kinds.items()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    part, count = f"{path}.{os.getpid()}.part", 0
    try:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            for group in _groups(rows()):
                converted = [{name: _as(columns[name], row.get(name)) for name in columns} for row in group]
                writer.write_table(arrow.Table.from_pylist(converted, schema=schema))
                count += len(group)
        os.replace(part, path)
    except OSError as error:
        cause = f"The file {path} cannot be written: {error.strerror or error}."
        raise CommandError(Exit.USAGE, cause, "Name another place.") from error
    finally:
        if os.path.exists(part):
            os.unlink(part)
    return count, len(columns)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: ICN001, PLC0415 - 200 ms, and few want it
        import pyarrow.parquet  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        cause = "--parquet needs the package 'pyarrow', which is not installed."
        raise CommandError(Exit.USAGE, cause, "Install it: pip install pyarrow") from error
    return pyarrow, pyarrow.parquet


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -_MAX_INT <= value < _MAX_INT else "float"
    if isinstance(value, float):
        return "float"
    return "named" if isinstance(value, str) and value in NAMED else "text"


def _settled(found: set[str]) -> str:
    """The type of a column that holds these kinds. A text of NaN is a number only among numbers."""
    kinds = found - {"none"}
    if len(kinds) == 1:
        (only,) = kinds
        return "text" if only == "named" else only
    return "float" if kinds and kinds <= {"int", "float", "named"} else "text"


def _as(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "float":
        return NAMED[value] if isinstance(value, str) else float(value)
    if kind == "text" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while group := list(islice(waiting, GROUP)):
        yield group
