"""Strict JSON of anything that was logged: no NaN, no bytes, no endless depth."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 64


def line(value: Mapping[str, Any]) -> str:
    """One line of JSON. Most rows are plain, so the check of every value is kept for those that are not."""
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        return _encode(clean(value))


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def clean(value: Any, depth: int = 0) -> Any:
    """`value` as strict JSON can say it: non-finite floats by name, bytes as base64."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _name(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {_key(key): clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item, depth + 1) for item in value]
    return str(value)


def flat(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row whose nested keys are joined by dots. A reference to media, a dict with `_type`, is one value."""
    if not any(isinstance(value, dict) for value in row.values()):
        return {_key(key): value for key, value in row.items()}
    found: dict[str, Any] = {}
    _flatten(found, "", row, 0)
    return found


def _flatten(found: dict[str, Any], prefix: str, row: Mapping[Any, Any], depth: int) -> None:
    for key, value in row.items():
        name = prefix + _key(key)
        if isinstance(value, dict) and value and "_type" not in value and depth < MAX_DEPTH:
            _flatten(found, name + ".", value, depth + 1)
        else:
            found[name] = value


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(clean(key))


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
