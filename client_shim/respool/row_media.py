"""Whether a row holds media. Asked only about rows that msgpack could not pack: a plain row never pays for it."""

from __future__ import annotations

from typing import Any

DEEPEST = 8
_FIGURES = {
    "matplotlib": frozenset({"Figure", "Axes", "AxesSubplot"}),
    "plotly": frozenset({"Figure", "FigureWidget"}),
    "pandas": frozenset({"DataFrame"}),
    "PIL": frozenset({"Image", "PngImageFile", "JpegImageFile"}),
}


class MediaFoundError(Exception):
    """Breaks off the logging of a row that must have its files kept first."""


def holds(value: Any, depth: int = 0) -> bool:
    """Whether `value`, a row or a part of one, holds a media object or a figure of a known library."""
    if isinstance(value, dict):
        return depth < DEEPEST and any(holds(item, depth + 1) for item in value.values())
    if isinstance(value, (list, tuple)):
        return depth < DEEPEST and any(holds(item, depth + 1) for item in value)
    return hasattr(type(value), "respool_reference") or library_of(value) is not None


def library_of(value: Any) -> str | None:
    """The library whose figure, image or frame `value` is; None for anything else."""
    if getattr(value, "__name__", None) == "matplotlib.pyplot":
        return "pyplot"
    root = type(value).__module__.partition(".")[0]
    names = _FIGURES.get(root)
    return root if names is not None and type(value).__name__ in names else None
