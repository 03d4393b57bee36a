"""Which variants of a test wait for the long suite."""

from __future__ import annotations

from typing import Any

import pytest


def slowly(*values: Any) -> Any:
    """One parameter set that only the long suite takes."""
    return pytest.param(*values, marks=pytest.mark.slow)
