"""run.checkpoint() with real processes: what was handed over comes back bit for bit, on any node, or is not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Node, Site
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
    assert site.node.call("checkpoints", RUN, "--drop", "2").returncode == 0
    left = [json.loads(line) for line in site.node.call("checkpoints", RUN, "--json").stdout.splitlines()]
    assert [(one["step"], "hub" in one["where"]) for one in left] == [(3, True)]
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


@pytest.mark.slow
def test_what_a_kill_of_the_daemon_cut_short_in_memory_is_whole_when_its_trainer_says_so(site: Site) -> None:
    size = 96 << 20
    site.open()
    life = site.node.train("states.py", steps=1000, size=size, staged=1, wait=60.0, pause=0.5, keep=1)

    def cut() -> bool:
        """Stop the daemon where a blob is half written, if it is."""
        if not half_written(site.node.spool, size):
            return False
        site.node.daemon.pause()
        found = half_written(site.node.spool, size) and staged_last(life)
        if not found:
            site.node.daemon.signal(signal.SIGCONT)
        return found

    until(cut, "a copy that is under way", 90, site.words)
    step = max(remarks(life, "try"))
    site.node.daemon.kill()
    until(lambda: step in remarks(life, "saved"), "wait() saying so", 90, site.words)
    life.process.kill()
    site.node.daemon.start()
    again = site.node.train("states.py", steps=step + 1)
    assert again.process.wait(120) == 0, again.process.words()
    assert remarks(again, "found") == {step: remarks(life, "try")[step]}


def staged_last(life: Life) -> bool:
    """Whether what its trainer is saving now is staged."""
    step = max(remarks(life, "try"))
    return step % 2 == 1 and step not in remarks(life, "saved")


def half_written(spool: str, size: int) -> bool:
    """Whether a snapshot in a spool has a part of `size` bytes, of which its text files do not have a hundredth."""
    sizes = []
    for folder, _, names in os.walk(spool):
        for name in names if os.path.basename(folder) == "blobs" else ():
            with suppress(FileNotFoundError):
                sizes.append(os.path.getsize(os.path.join(folder, name)))
    return any(size // 100 < one < size for one in sizes)


def apart(site: Site, node: Node) -> None:
    """Put a node into a network of its own, where none of another's sockets is; if this user may make one."""
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        return
    place = site.process("place", ["unshare", "--net", "sleep", "infinity"], dict(os.environ)).launch()
    ours = os.readlink("/proc/self/ns/net")
    until(lambda: os.readlink(f"/proc/{place.pid}/ns/net") != ours, "a network", 10, place.words)
    node.wrapper = ["nsenter", f"--net=/proc/{place.pid}/ns/net", "--"]
    node.daemon.argv = [*node.wrapper, *node.daemon.argv]


@pytest.mark.slow
def test_a_node_with_nothing_of_it_restores_a_models_state_when_the_first_is_gone_for_good(
    site: Site,
) -> None:
    pytest.importorskip("torch")
    site.open()
    life = site.node.train("weights.py", steps=5, hang=1)
    saved = life.remark("saved plain 3 ", 90).split()[3]
    until(lambda: site.view.steps(PROJECT, RUN)[:1] == [3], "it is at the hub", 60, site.words)
    life.process.kill()
    site.node.daemon.kill()
    shutil.rmtree(site.node.spool)
    shutil.rmtree(site.node.work)
    other = site.add_node("b")
    apart(site, other)
    site.give_keys()
    other.daemon.start()
    again = other.train("weights.py", steps=1, takeover=1)
    assert again.process.wait(120) == 0, again.process.words()
    assert [one for one in again.remarks if one.startswith("found")] == [f"found 3 {saved} ok"]
    folder = site.path("restored")
    done = other.call("restore", RUN, "--checkpoint", "--step", "3", "-o", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (name,) = os.listdir(folder)
    with open(os.path.join(folder, name), "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == saved


def test_offline_it_is_found_in_the_spool_and_sent_when_the_hub_is_back(site: Site) -> None:
    site.open()
    site.hub.kill()
    life = site.node.train("states.py", steps=2, end="hang")
    until(lambda: 1 in remarks(life, "done"), "two checkpoints", why=site.words)
    life.process.kill()
    again = site.node.train("states.py", steps=3)
    assert again.process.wait(120) == 0, again.process.words()
    assert remarks(again, "found") == {1: remarks(life, "saved")[1]}
    done = site.node.call("restore", f"{PROJECT}/{RUN}", "model.bin", "-o", site.path("model.bin"))
    assert (done.returncode, "It comes from this node's spool." in done.stderr) == (0, True), done.stderr
    with open(site.path("model.bin"), "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == remarks(again, "try")[2]
    site.hub.start()
    site.drained()
    assert at_hub(site)[0]["step"] == 2


def test_what_is_on_its_way_is_shown_with_its_rate_within_the_limit_and_the_command_brings_it_back(
    site: Site,
) -> None:
    site.hub.start()
    site.give_keys()
    site.node.configure(upload_limit="8M")
    site.node.daemon.start()
    life = site.node.train("states.py", steps=1, size=8 << 20)
    seen: list[dict[str, Any]] = []

    def moved() -> bool:
        runs = (site.node.status() or {}).get("runs") or []
        seen.extend(one for run in runs for one in run["uploads"] if one["rate"])
        return len({one["sent"] for one in seen}) > 1

    until(moved, "an upload that moves", why=site.words)
    assert all(0 < one["sent"] <= one["size"] and one["seconds_left"] is not None for one in seen)
    # What lies in the socket's buffers counts, so that a rate over a short time may be too high.
    assert min(one["rate"] for one in seen) <= 12 << 20
    assert life.process.wait(60) == 0, life.process.words()
    here = site.node.call("restore", RUN, "--checkpoint", "-o", "here", "--json")
    site.drained()
    site.node.daemon.stop()
    there = site.node.call("restore", RUN, "--checkpoint", "--step", "0", "-o", "there", "--json")
    for done in (here, there):
        assert done.returncode == 0, done.stdout + done.stderr
        with open(os.path.join(site.node.work, json.loads(done.stdout)["paths"][0]), "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == remarks(life, "saved")[0]


def test_what_a_project_may_not_hold_is_not_even_begun_while_rows_go_on(site: Site) -> None:
    plain = list(site.hub.argv)
    site.hub.argv += ["--project-quota", "9M"]
    site.open()
    life = site.node.train("states.py", steps=2, end="hang")

    def refused() -> str | None:
        found = [text for text in (site.node.status() or {}).get("warnings") or [] if "may" in text]
        return found[0] if found else None

    said = until(refused, "a word on the quota", why=site.words)
    assert "holds 6.0 MiB of the 9.0 MiB that it may" in said
    assert "has 6.0 MiB, and 3.0 MiB are missing" in said
    until(lambda: len(site.view.history(PROJECT, RUN)) == 2, "all rows", why=site.words)
    assert stored(site) < 7 << 20
    shown = site.node.call("status")
    assert "3.0 MiB are missing" in shown.stdout
    assert site.hub.stop() == 0
    site.hub.argv = plain
    site.hub.start()
    until(lambda: [one["step"] for one in at_hub(site)] == [1, 0], "both checkpoints", 90, why=site.words)
    life.process.kill()
