"""msgpack at one door: payloads in and out, and what a logged value becomes.

Loggable as they are: None, bool, int of 64 bits, float (NaN and infinities too), str, bytes, lists, dicts.
Made loggable: numpy and torch scalars and one-element arrays (`.item()`), small arrays (`.tolist()`), paths,
dates, sets, tuples. What is left becomes its repr, and the caller is told which type that was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from respool.wire.errors import RemoteProtocolError

MAX_DEPTH = 64
MAX_ARRAY = 4096
INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1
LEAVES = frozenset({type(None), bool, int, float, str, bytes})
"""Types that hold no dict."""
_BRANCHES = (dict, list, tuple)
BROKEN_TEXT = "text with half of a character"
"""What `plain` tells of a lone surrogate, as in a file name that is no UTF-8: it is spelled out."""


def new_packer() -> Callable[[Any], bytes]:
    """A `pack` of one's own: a packer keeps one buffer, so it serves one thread at a time."""
    packer: Callable[[Any], bytes] = msgpack.Packer(use_bin_type=True).pack
    return packer


pack: Callable[[Any], bytes] = new_packer()
"""Payload of plain values. Raises TypeError, ValueError or OverflowError for others: see `plain`."""


def unpack(payload: bytes) -> Any:
    """The value of a payload; keys that are no text become text. Raises RemoteProtocolError for bytes that are
    no msgpack.
    """
    try:
        value = msgpack.unpackb(payload, raw=False)
        if not has_odd_key(value):
            return value
    except ValueError:  # Among other things: a key that is neither text nor bytes.
        pass
    except (RecursionError, TypeError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"payload is not msgpack: {error!r}") from error
    return _unpack_spelled(payload)


def _unpack_spelled(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(payload, raw=False, strict_map_key=False, object_pairs_hook=_spelled_map)
    except (ValueError, RecursionError, TypeError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"payload is not msgpack: {error!r}") from error


def _spelled_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    return {_key(tuple(key) if isinstance(key, list) else key): item for key, item in pairs}


def has_odd_key(value: Any) -> bool:
    """Whether a dict in `value`, at any depth, has a key that is no str. For values that end: not for cycles."""
    left = [value] if isinstance(value, _BRANCHES) else []
    while left:
        branch = left.pop()
        items: Any = branch
        if isinstance(branch, dict):
            try:
                "".join(branch)
            except TypeError:
                return True
            items = branch.values()
        if not LEAVES.issuperset(map(type, items)):
            left += [item for item in items if isinstance(item, _BRANCHES)]
    return False


def unpack_map(payload: bytes) -> dict[str, Any]:
    """The value of a payload that must be a map."""
    value = unpack(payload)
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"payload is of type {type(value).__name__}, not a map")
    return value


def plain(value: Any, told: Callable[[str], None], path: tuple[int, ...] = ()) -> Any:
    """`value` as msgpack can hold it; `told(type name)` is called for each thing that became its repr.

    `path` is what contains `value`, by id: a cycle ends where it closes, or two of them would never end.
    """
    if value is None or isinstance(value, (bool, str, bytes)):
        return _readable(value, told) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value) if INT_MIN <= value <= INT_MAX else _spelled(value, str)
    if isinstance(value, float):
        return float(value)
    if len(path) > MAX_DEPTH or id(value) in path:
        told("nesting deeper than 64" if id(value) not in path else "cycle")
        return "..."
    path = (*path, id(value))
    if isinstance(value, dict):
        return {_key(key, told): plain(item, told, path) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, told, path) for item in value]
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return _foreign(value, told, path)


def _foreign(value: Any, told: Callable[[str], None], path: tuple[int, ...]) -> Any:
    try:
        if hasattr(value, "item") and getattr(value, "size", 1) != 0 and _elements(value) == 1:
            return plain(value.item(), told, path)
        if hasattr(value, "tolist") and _elements(value) <= MAX_ARRAY:
            return plain(value.tolist(), told, path)
        if hasattr(value, "isoformat"):
            return value.isoformat()
        if hasattr(value, "__fspath__"):
            return plain(value.__fspath__(), told, path)
    except Exception:  # noqa: BLE001, S110 - foreign objects may raise anything; their repr is the answer then
        pass
    told(type(value).__name__)
    return _spelled(value, repr)[:MAX_ARRAY]


def _elements(value: Any) -> int:
    if hasattr(value, "numel"):
        return int(value.numel())
    size = getattr(value, "size", None)
    if isinstance(size, int):
        return size
    return len(value) if hasattr(value, "__len__") else 1


def _key(key: Any, told: Callable[[str], None] | None = None) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "backslashreplace")
    return _readable(key, told) if isinstance(key, str) else _spelled(key, str)


def _readable(text: str, told: Callable[[str], None] | None) -> str:
    made = _text(text)
    if told is not None and made != text:
        told(BROKEN_TEXT)
    return made


def _spelled(value: Any, spell: Callable[[Any], str]) -> str:
    try:
        return _text(spell(value))
    except Exception:  # noqa: BLE001 - a repr that raises must not reach a training loop
        return f"<{type(value).__name__}>"


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
