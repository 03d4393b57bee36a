"""run.checkpoint() with real processes: what was handed over comes back bit for bit, on any node, or is not there."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import Life


def remarks(life: Life, word: str) -> dict[int, str]:
    """Step and digest of each remark of a kind."""
    found = (one.split() for one in life.remarks)
    return {int(one[1]): one[2] if len(one) > 2 else "" for one in found if one[0] == word}


def at_hub(site: Site) -> list[dict[str, Any]]:
    """The checkpoints that the hub shows, newest first, each with the digest of its bytes."""
    found = site.view.checkpoints(PROJECT, RUN)
    return [one | {"found": hashlib.sha256(one["bytes"]).hexdigest()} for one in found]


def stored(site: Site) -> int:
    """Bytes of files at the hub."""
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(site.path("hub", "blobs"))
        for name in names
    )


def test_what_was_handed_over_is_at_the_hub_as_many_as_are_to_be_kept(site: Site) -> None:
    site.open()
    life = site.node.train("states.py", steps=4)
    assert life.process.wait() == 0, life.process.words()
    site.drained()
    found = at_hub(site)
    assert [one["step"] for one in found] == [3, 2]
    assert all(one["found"] == one["metadata"]["digest"] for one in found)
    # What did not change from one to the next was sent once.
    assert stored(site) < 6 * (6 << 20)


@pytest.mark.slow
def test_a_killed_trainer_goes_on_from_its_last_one_on_another_node(site: Site) -> None:
    site.open()
    life = site.node.train("states.py", steps=3, staged=1, end="hang")
    until(lambda: 2 in remarks(life, "done"), "three checkpoints", why=site.words)
    until(lambda: [one["step"] for one in at_hub(site)] == [2, 1], "two of them at the hub", why=site.words)
    life.process.kill()
    site.node.daemon.kill()
    other = site.add_node("b")
    site.give_keys()
    other.daemon.start()
    again = other.train("states.py", steps=5, takeover=None)
    assert again.process.wait(120) == 0, again.process.words()
    assert remarks(again, "found") == {2: remarks(life, "try")[2]}
    site.node.daemon.start()
    site.drained()
    assert [(one["step"], one["found"] == one["metadata"]["digest"]) for one in at_hub(site)] == [
        (4, True),
        (3, True),
    ]


def test_offline_it_is_found_in_the_spool_and_sent_when_the_hub_is_back(site: Site) -> None:
    site.open()
    site.hub.kill()
    life = site.node.train("states.py", steps=2, end="hang")
    until(lambda: 1 in remarks(life, "done"), "two checkpoints", why=site.words)
    life.process.kill()
    again = site.node.train("states.py", steps=3)
    assert again.process.wait(120) == 0, again.process.words()
    assert remarks(again, "found") == {1: remarks(life, "saved")[1]}
    site.hub.start()
    site.drained()
    assert at_hub(site)[0]["step"] == 2
