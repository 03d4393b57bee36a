"""Media that are a file or a text as they are: Html, Plotly, Video, Object3D, Molecule."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

from respool.media.base import Media, Source, path_of, suffix_of

_LONGEST_PATH = 1024


class Html(Media):
    """A page: a text, an open file, or the path of one. `inject` has no effect."""

    kind: ClassVar[str] = "html-file"
    folder: ClassVar[str] = "html"

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:  # noqa: ARG002 - W&B's
        super().__init__(lambda: _page(data, text_only=data_is_not_path))


class Plotly(Media):
    """A Plotly figure, as a page that shows it; a Matplotlib figure becomes an Image where it is logged."""

    kind: ClassVar[str] = "html-file"
    folder: ClassVar[str] = "html"

    def __init__(self, val: Any) -> None:
        super().__init__(lambda: Source(".html", val.to_html(include_plotlyjs="cdn").encode()))


class Video(Media):
    """A video file, by its path. Arrays are not encoded here: write them to a file first."""

    kind: ClassVar[str] = "video-file"
    folder: ClassVar[str] = "videos"

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int | None = None,  # noqa: ARG002 - W&B's signature
        format: str | None = None,  # noqa: A002, ARG002 - as above
    ) -> None:
        super().__init__(lambda: _file(data_or_path, "Video"), caption)


class Object3D(Media):
    """A 3D object, by the path of its file, or a cloud of points: an array or list of rows x, y, z, with a category
    (4 columns) or a colour r, g, b (6) behind, kept as JSON.
    """

    kind: ClassVar[str] = "object3D-file"
    folder: ClassVar[str] = "object3D"

    def __init__(self, data_or_path: Any, caption: str | None = None, **_: Any) -> None:
        super().__init__(lambda: _cloud(data_or_path), caption)


class Molecule(Media):
    """A molecule, by the path of its file."""

    kind: ClassVar[str] = "molecule-file"
    folder: ClassVar[str] = "molecule"

    def __init__(self, data_or_path: Any, caption: str | None = None, **_: Any) -> None:
        super().__init__(lambda: _file(data_or_path, "Molecule"), caption)


def _cloud(value: Any) -> Source:
    rows = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(rows, (list, tuple)):
        return _file(value, "Object3D")
    points = [[float(part) for part in row] for row in rows]
    if {len(point) for point in points} - {3, 4, 6}:
        raise ValueError("a cloud of points takes rows of 3, 4 or 6 numbers")
    return Source(".pts.json", json.dumps(points).encode(), facts={"points": len(points)})


def _file(value: Any, what: str) -> Source:
    path = path_of(value, what)
    return Source(suffix_of(path), path=path)


def _page(data: Any, *, text_only: bool) -> Source:
    if hasattr(data, "read"):
        data = data.read()
    if isinstance(data, os.PathLike) or (not text_only and _names_a_file(data)):
        return Source(".html", path=path_of(data, "Html"))
    if not isinstance(data, (str, bytes)):
        raise TypeError(f"Html takes a text or the path of a file, not {type(data).__name__}")
    return Source(".html", data.encode("utf-8", "replace") if isinstance(data, str) else data)


def _names_a_file(data: Any) -> bool:
    return (
        isinstance(data, str) and 0 < len(data) < _LONGEST_PATH and "\0" not in data and os.path.isfile(data)
    )
