"""`Api`: what the hub knows, read from a script. Loaded when a script first names it; stdlib only."""

from __future__ import annotations

from typing import Any

from respool.apis.api import Api
from respool.compat import absent, module_of

__all__ = ["Api"]


def __getattr__(name: str) -> Any:
    if name == "PublicApi":
        return Api
    if name == "public":
        return module_of("apis", name)
    if name in {"InternalApi", "internal", "reports", "importers"}:
        return absent(f"apis.{name}")
    raise AttributeError(f"module 'respool.apis' has no attribute {name!r}")
