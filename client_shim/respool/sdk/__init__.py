"""W&B's module names, for code that imports from them when respool stands in its place."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    from importlib import import_module  # noqa: PLC0415 - only for who asks

    from respool.compat import absent  # noqa: PLC0415 - as above

    try:
        return import_module(f"respool.sdk.{name}")
    except ImportError:
        return absent(f"sdk.{name}")
