"""What integrations import from W&B's module of this name."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from respool.compat import module_of  # noqa: PLC0415 - only for who asks

    return module_of("sdk.lib", name)


class RunDisabled:
    """Nobody is one: a run that keeps nothing is a Run here, with `disabled` set."""
