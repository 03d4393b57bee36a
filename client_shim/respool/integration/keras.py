"""The Keras callbacks, by W&B's longer name."""

from __future__ import annotations

from respool.keras import WandbCallback, WandbMetricsLogger, WandbModelCheckpoint

__all__ = ["WandbCallback", "WandbMetricsLogger", "WandbModelCheckpoint"]
