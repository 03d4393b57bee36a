"""A site for each test, gone with all its processes when the test ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.sites import Site


@pytest.fixture
def site() -> Iterator[Site]:
    """Nothing runs in it yet: `site.open()` starts hub and daemon."""
    with Site() as made:
        yield made
