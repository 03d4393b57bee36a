"""What integrations import from W&B's module of this name."""

from __future__ import annotations

from respool.run_handle import Run

__all__ = ["Run"]
