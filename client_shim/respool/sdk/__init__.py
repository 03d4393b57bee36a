"""W&B's module names, for code that imports from them when respool stands in its place."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from respool.compat import module_of  # noqa: PLC0415 - only for who asks

    return module_of("sdk", name)
