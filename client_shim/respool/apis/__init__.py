"""`Api`: what the hub knows, read from a script. Loaded when a script first names it; stdlib only."""

from __future__ import annotations

from respool.apis.api import Api

__all__ = ["Api"]
