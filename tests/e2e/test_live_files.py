"""Live files: the daemon snapshots what settles, whatever the script does or does not call; the trainer records it, or
the daemon in its place when it has died. Nothing torn, and one order of versions.
"""

from __future__ import annotations

import glob
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from blake3 import blake3

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Node, Site
from e2e.truths import Life

MANY = 80
"""Of trainers/live.py."""
SETTLED = 2.0
"""As the product has it; twice as long is surely enough for one that would be taken wrongly."""

TEXTS = {
    blake3(text.encode()).hexdigest(): text for text in ("first", "second", "third", "own", "half", "last")
}


class Script:
    """A trainer that does what it is told."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.life: Life = node.train("live.py")
        self.count = 0
        self.life.remark("saved")

    def do(self, *orders: str) -> None:
        for order in orders:
            path = os.path.join(self.node.work, f"order-{self.count}")
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(order)
            os.rename(path + ".new", path)
            if order != "end":
                self.life.remark(f"did {self.count}")
            self.count += 1


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made.open()


def snapshots(node: Node) -> Counter[str]:
    """What lies in the spool as snapshots of files, by content."""
    found = Counter[str]()
    for path in glob.glob(os.path.join(node.spool, "**", "blobs", "*"), recursive=True):
        with suppress(FileNotFoundError), open(path, "rb") as file:
            found[file.read().decode(errors="replace")] += 1
    return found


def all_versions(site: Site) -> list[dict[str, Any]]:
    return site.view.files(PROJECT, RUN, every=True)


def taken(site: Site, text: str) -> None:
    until(lambda: text in snapshots(site.node), f"a snapshot of {text!r}", why=site.words)


def versions(site: Site) -> list[str]:
    """All versions at the hub once the run is over."""
    site.drained()
    found = all_versions(site)
    assert all(one["name"] == "w" for one in found)
    return [TEXTS.get(one["digest"], one["digest"]) for one in found]


def newest(site: Site) -> str:
    return (site.view.file(PROJECT, RUN, "w") or b"").decode()


def test_a_version_that_settled_is_kept_of_a_script_that_called_nothing_and_was_killed(site: Site) -> None:
    script = Script(site.node)
    script.do("write second")
    taken(site, "second")
    script.do("replace third")
    taken(site, "third")
    script.life.process.kill()
    site.drained()
    assert newest(site) == "third"
    assert set(versions(site)) <= {"first", "second", "third"}


def test_the_next_call_makes_it_a_version_and_what_the_script_saves_itself_is_newer(site: Site) -> None:
    script = Script(site.node)
    script.do("write second")
    taken(site, "second")
    until(lambda: script.do("log") or newest(site) == "second", "the second version", why=site.words)
    script.do("write third")
    taken(site, "third")
    script.do("save own")
    script.life.process.kill()
    site.drained()
    assert newest(site) == "own"
    assert sorted(versions(site)) == ["first", "own", "second"], "third was old when it could be recorded"


@pytest.mark.parametrize("end", ["kill", "finish"])
def test_a_file_that_is_open_for_writing_is_no_version_until_its_writer_finished(
    site: Site, end: str
) -> None:
    script = Script(site.node)
    script.do("open half")
    time.sleep(2 * SETTLED + 1)
    assert "half" not in snapshots(site.node)
    if end == "kill":
        script.life.process.kill()
        time.sleep(2 * SETTLED)
        site.drained()
        assert versions(site) == ["first"]
    else:
        script.do("end")
        assert script.life.process.wait() == 0
        site.drained()
        assert newest(site) == "half", "finish() is a call of the script: it is not in the middle of a write"


@pytest.mark.parametrize("end", ["kill", "log"])
def test_many_files_that_change_at_once_are_all_kept(site: Site, end: str) -> None:
    script = Script(site.node)
    script.do("many after")
    until(lambda: snapshots(site.node)["after"] == MANY, "snapshots of all", why=site.words)
    if end == "kill":
        script.life.process.kill()
        site.drained()
    else:
        whole = 1 + 2 * MANY
        until(lambda: script.do("log") or len(all_versions(site)) == whole, "all versions", why=site.words)
    for number in range(MANY):
        assert site.view.file(PROJECT, RUN, f"m{number}") == b"after"


def test_a_daemon_that_comes_back_is_told_what_to_watch(site: Site) -> None:
    script = Script(site.node)
    site.node.daemon.kill()
    script.do("log", "write second")
    site.node.daemon.start()
    until(
        lambda: script.do("log") or "second" in snapshots(site.node),
        "the second version",
        why=site.words,
    )
    script.do("write third")
    taken(site, "third")
    script.life.process.kill()
    site.drained()
    assert newest(site) == "third"


def test_what_nobody_recorded_when_a_run_ends_well_is_not_left_lying(site: Site) -> None:
    script = Script(site.node)
    script.do("write second")
    taken(site, "second")
    script.do("write last", "end")
    assert script.life.process.wait() == 0
    site.drained()
    assert newest(site) == "last"
    until(lambda: set(snapshots(site.node)) <= {"first", "second", "last"}, "no other snapshot")
    assert versions(site).count("last") == 1
