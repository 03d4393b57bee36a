"""What integrations import from W&B's module of this name."""

from __future__ import annotations

from respool.settings import Settings

__all__ = ["Settings"]
