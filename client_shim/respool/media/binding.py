"""From a row with media to a row without: every media object becomes its reference, its file is kept."""

from __future__ import annotations

from typing import Any

from respool.media.documents import Plotly
from respool.media.image import Image
from respool.media.shelf import Keep, Shelf
from respool.media.table import Table
from respool.row_media import DEEPEST, library_of


def bound(row: dict[Any, Any], keep: Keep, step: int) -> dict[Any, Any]:
    """A copy of `row` in which media are references. Their files are kept with `step` when this returns."""
    shelf = Shelf(keep, step)
    return {key: _bound(item, shelf, str(key), 0) for key, item in row.items()}


def _bound(value: Any, shelf: Shelf, key: str, depth: int) -> Any:
    if hasattr(type(value), "respool_reference"):
        return value.respool_reference(shelf, key)
    library = library_of(value)
    if library is not None:
        return _made(value, library).respool_reference(shelf, key)
    if depth < DEEPEST and isinstance(value, dict):
        return {name: _bound(item, shelf, f"{key}/{name}", depth + 1) for name, item in value.items()}
    if depth < DEEPEST and isinstance(value, (list, tuple)):
        return [_bound(item, shelf, key, depth + 1) for item in value]
    return value


def _made(value: Any, library: str) -> Any:
    match library:
        case "pandas":
            return Table(dataframe=value)
        case "plotly":
            return Plotly(value)
    return Image(value)
