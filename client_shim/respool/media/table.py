"""`Table`: rows and columns, as a JSON file of the run. Cells may hold media, which become files of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from typing import Any

from respool import notices
from respool.compat import absent_of
from respool.errors import UsageError
from respool.media.base import UNUSABLE
from respool.media.shelf import Shelf
from respool.wire import codec

MOST_ROWS = 200_000
_DEFAULT = ["Input", "Output", "Expected"]


class Table:
    """`columns` name what each row of `data` holds; a pandas `dataframe` brings both. A row of another length is
    warned of and dropped. At most 200000 rows are written. Rows added after it was logged are in the file of
    the next log().
    """

    MAX_ROWS = MOST_ROWS

    def __init__(
        self,
        columns: list[Any] | None = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        dtype: Any = None,  # noqa: ARG002 - W&B's signature, as what follows
        optional: Any = True,  # noqa: ARG002 - as above
        allow_mixed_types: bool = False,  # noqa: ARG002 - as above
        log_mode: str | None = None,  # noqa: ARG002 - as above
    ) -> None:
        frame = dataframe if dataframe is not None else data if hasattr(data, "columns") else None
        self.columns: list[Any] = list(_DEFAULT)
        self.data: list[list[Any]] = []
        try:
            self.columns = self.columns if columns is None else list(columns)
            if frame is not None:
                self.columns = [str(name) for name in frame.columns]
                given: Any = frame.values.tolist()
            else:
                given = rows if data is None else data
            for row in () if given is None else given.tolist() if hasattr(given, "tolist") else given:
                self.add_data(*row)
        except UsageError:
            raise
        except UNUSABLE as error:
            cause = f"Table() cannot use what it was given: {error}"
            notices.misused(f"table {error}", cause, "it has no more rows", "Pass lists of cells")

    def add_data(self, *data: Any) -> None:
        """Add one row."""
        if len(data) != len(self.columns):
            text = f"a row of {len(data)} cells does not fit a table of {len(self.columns)} columns"
            notices.misused("table row", text, "it is dropped", "Pass one cell per column")
            return
        self.data.append(list(data))

    def add_row(self, *row: Any) -> None:
        """The same, by its older name."""
        self.add_data(*row)

    def add_column(self, name: Any, data: Any, optional: bool = False) -> None:  # noqa: ARG002 - W&B's signature
        """Add a column with one cell for every row; in an empty table the cells are the rows."""
        cells = list(data) if hasattr(data, "__iter__") else [data]
        if self.data and len(cells) != len(self.data):
            text = f"a column of {len(cells)} cells does not fit a table of {len(self.data)} rows"
            notices.misused("table column", text, "it is dropped", "Pass one cell per row")
            return
        if not self.data:
            self.columns, self.data = [], [[] for _ in cells]
        self.columns.append(name)
        for row, cell in zip(self.data, cells, strict=True):
            row.append(cell)

    def get_column(self, name: Any, convert_to: str | None = None) -> Any:
        """The cells of a column; a numpy array with convert_to="numpy". Raises ValueError for an unknown name."""
        at = self.columns.index(name)
        cells = [row[at] for row in self.data]
        if convert_to != "numpy":
            return cells
        import numpy as np  # noqa: PLC0415 - only asked for by who has it

        return np.array(cells)

    def get_index(self) -> list[int]:
        """The numbers of its rows."""
        return list(range(len(self.data)))

    def get_dataframe(self) -> Any:
        """A pandas DataFrame."""
        import pandas as pd  # noqa: PLC0415 - only asked for by who has it

        return pd.DataFrame(self.data, columns=self.columns)

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Each row with its number."""
        yield from enumerate(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __getattr__(self, name: str) -> Any:
        return absent_of("Table", name)

    def respool_reference(self, shelf: Shelf, key: str) -> dict[str, Any]:
        """Keep it as a file of JSON; the dict that stands for it in the row."""
        rows = self.data[:MOST_ROWS]
        if len(rows) < len(self.data):
            cause = f"the table {key} has {len(self.data)} rows"
            notices.misused("table rows", cause, f"the first {MOST_ROWS} are kept", "Log several tables")
        found = {"_type": "table-file", "ncols": len(self.columns), "nrows": len(rows)}
        body = {
            "columns": [str(name) for name in self.columns],
            "data": [_cells(row, shelf, key) for row in rows],
        }
        data = json.dumps(body, ensure_ascii=False, allow_nan=False, default=_spelled).encode(
            "utf-8", "replace"
        )
        try:
            return found | shelf.keep_bytes("table", key, ".table.json", data)
        except OSError as error:
            notices.warn("table file", f"the table {key} cannot be kept: {error}.")
            return found | {"error": str(error)}


def _cells(row: list[Any], shelf: Shelf, key: str) -> list[Any]:
    return [_cell(cell, shelf, key) for cell in row]


def _cell(cell: Any, shelf: Shelf, key: str) -> Any:
    if hasattr(type(cell), "respool_reference"):
        return cell.respool_reference(shelf, key)
    if cell is None or isinstance(cell, (bool, int, str)):
        return cell
    return _strict(codec.plain(cell, lambda _: None))


def _strict(value: Any) -> Any:
    """Strict JSON has no NaN; W&B spells it as text too."""
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - NaN
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list) else value


def _spelled(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else repr(value)
