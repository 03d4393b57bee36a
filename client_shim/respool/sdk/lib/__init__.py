"""What integrations import from W&B's module of this name."""

from __future__ import annotations


class RunDisabled:
    """Nobody is one: a run that keeps nothing is a Run here, with `disabled` set."""
