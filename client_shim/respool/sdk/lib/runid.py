"""What scripts import from W&B's module of this name."""

from __future__ import annotations

from respool.util import generate_id

__all__ = ["generate_id"]
