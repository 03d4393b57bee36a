"""A config from a file: YAML or JSON, plain or as W&B writes it (`{key: {value: ...}}`)."""

from __future__ import annotations

import os
from typing import Any

from respool.errors import UsageError

_OF_WANDB = frozenset({"wandb_version", "_wandb"})


def read(path: Any) -> dict[str, Any]:
    """The keys and values. Raises UsageError naming the file."""
    name = os.fsdecode(path)
    try:
        with open(name, encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else _words(error)
        raise UsageError(f"config {name!r} cannot be read: {why}. Pass a dict, or another file.") from error
    found = _json(name, text) if name.endswith(".json") else _yaml(name, text)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"config {name!r} holds {type(found).__name__}, no keys. Write `key: value` lines.")
    return _values({str(key): value for key, value in found.items()})


def _words(error: ValueError) -> str:
    return "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _values(found: dict[str, Any]) -> dict[str, Any]:
    """W&B's files give each key a map of its value and a description."""
    kept = {key: value for key, value in found.items() if key not in _OF_WANDB}
    described = all(
        isinstance(value, dict) and "value" in value and value.keys() <= {"value", "desc"}
        for value in kept.values()
    )
    return {key: value["value"] for key, value in kept.items()} if described else found


def _json(name: str, text: str) -> Any:
    import json  # noqa: PLC0415 - few pass a file

    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"config {name!r} is no JSON: {error}. Correct it.") from error


def _yaml(name: str, text: str) -> Any:
    try:
        import yaml  # noqa: PLC0415 - no dependency of ours, and few pass a file
    except ImportError as error:
        cause = f"config {name!r} is YAML, and pyyaml is not installed"
        raise UsageError(
            f"{cause}. Install it (pip install pyyaml), or pass a dict or a .json file."
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise UsageError(f"config {name!r} is no YAML: {why:.200}. Correct it.") from error
