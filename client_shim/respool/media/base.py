"""What every kind of media has: encoded bytes or a path, and how they become a file and a reference."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from respool import notices
from respool.compat import absent_of
from respool.media.shelf import Shelf

UNUSABLE = (
    TypeError,
    ValueError,
    OSError,
    ImportError,
    RuntimeError,
    AttributeError,
    LookupError,
    OverflowError,
)


class Source(NamedTuple):
    """Encoded media: `data`, or the `path` of a file that is read when it is logged. `facts` go in the
    reference.
    """

    suffix: str
    data: bytes | None = None
    path: str | None = None
    facts: dict[str, Any] = {}


class Media:
    """One media object. What cannot be encoded is warned of and logged as a reference without a file."""

    kind: ClassVar[str] = ""
    folder: ClassVar[str] = ""

    def __init__(self, encode: Callable[[], Source], caption: str | None = None) -> None:
        self.caption = caption
        self._problem = ""
        try:
            self._source = encode()
        except UNUSABLE as error:
            self._source = Source("")
            self._fail(error)

    def respool_reference(self, shelf: Shelf, key: str) -> dict[str, Any]:
        """Keep the file; the dict that stands for it in the row, in W&B's shape."""
        found: dict[str, Any] = {"_type": self.kind}
        if self.caption is not None:
            found["caption"] = str(self.caption)
        try:
            kept = {} if self._problem else self._keep(shelf, key)
        except OSError as error:
            self._fail(error)
            kept = {}
        if self._problem:
            kept["error"] = self._problem
        return {**found, **self._source.facts, **kept}

    def __getattr__(self, name: str) -> Any:
        return absent_of(type(self).__name__, name)

    def _keep(self, shelf: Shelf, key: str) -> dict[str, Any]:
        source = self._source
        if source.path is not None:
            return shelf.keep_path(self.folder, key, source.suffix, source.path)
        return shelf.keep_bytes(self.folder, key, source.suffix, source.data or b"")

    def _fail(self, error: Exception) -> None:
        self._problem = f"{type(error).__name__}: {error}"[:500]
        name = type(self).__name__
        cause = f"{name}() cannot be kept: {str(error).rstrip('.')}"
        kind = f"media {name} {error}"
        notices.misused(kind, cause, "the row is logged without it", "Pass what its documentation names")


def path_of(value: Any, what: str) -> str:
    """A path as text. Raises TypeError for what is none, FileNotFoundError where no file is."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"{what} takes the path of a file here, not {type(value).__name__}")
    path = os.fsdecode(value)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path!r}")
    return os.path.abspath(path)


def suffix_of(path: str, fallback: str = "") -> str:
    """The ending of a file's name, with its dot."""
    return os.path.splitext(path)[1].lower() or fallback
