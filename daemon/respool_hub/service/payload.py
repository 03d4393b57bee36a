"""A record's payload, where it may be anything: what is not what its kind says is kept and passed over."""

from __future__ import annotations

from typing import Any

from respool.wire import codec
from respool.wire.errors import WireError


def map_in(payload: bytes) -> dict[str, Any] | None:
    """The map in a payload, or None when there is none."""
    try:
        return codec.unpack_map(payload)
    except WireError:
        return None


def map_of(value: Any) -> dict[str, Any]:
    """`value` where it is a map, else an empty one."""
    return value if isinstance(value, dict) else {}


def names_in(value: Any) -> list[str]:
    """The texts in a list, or the keys of a map."""
    return [key for key in value if isinstance(key, str)] if isinstance(value, (dict, list)) else []
