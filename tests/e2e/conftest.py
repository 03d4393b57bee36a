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


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    """A site with hub and daemon up, for tests that harm neither; each takes run ids of its own. Who waits for a
    living run waits 3 s.
    """
    with Site() as made:
        made.node.configure(heartbeat=1.0)
        yield made.open()
