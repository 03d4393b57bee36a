"""Promise P5: what save() took is restorable bit for bit, on any node, or not visible at all."""

from __future__ import annotations

import hashlib
import os
import random
from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Node, Site
from e2e.truths import Life, content

NAME = "checkpoint.bin"
SIZE = 3 << 20
ALONE = {"RESPOOL_MODE": "spool"}


def train(node: Node, **options: Any) -> Life:
    return node.train("checkpoints.py", **{"steps": 10**6, "size": SIZE, **options})


def saved(life: Life) -> dict[int, str]:
    """Step -> digest of every save() that returned."""
    words = [one.split() for one in life.remarks if one.startswith("saved ")]
    return {int(step): digest for _, step, digest in words}


def killed(node: Node, rounds: int, **options: Any) -> Life:
    """A training that saved so many checkpoints, and was killed while it overwrote the next."""
    life = train(node, **options)
    life.remark("saved ", count=rounds)
    life.process.kill()
    lose(node)
    return life


def lose(node: Node) -> None:
    """The working copy is gone: what comes back comes from us."""
    for name in (NAME, f"{NAME}.new"):
        path = os.path.join(node.work, name)
        if os.path.exists(path):
            os.unlink(path)


def back(life: Life, before: Life) -> None:
    """The life began from a whole checkpoint: the newest whose save() returned, or the one after, whose did
    not.
    """
    _, step, digest, verdict = life.remark("restored ").split()
    assert verdict == "ok", "a checkpoint came back changed"
    steps = saved(before)
    newest = max(steps)
    assert int(step) in {newest, newest + 1}
    assert digest == hashlib.sha256(content(int(step), SIZE)).hexdigest()
    if int(step) in steps:
        assert steps[int(step)] == digest


@pytest.mark.parametrize("rename", [0, 1])
def test_a_killed_training_restores_its_newest_checkpoint_on_the_same_node(site: Site, rename: int) -> None:
    site.open()
    before = killed(site.node, random.randint(2, 6), rename=rename)
    after = train(site.node, steps=1)
    back(after, before)
    assert after.process.wait() == 0


def test_another_node_restores_it_from_the_hub(site: Site) -> None:
    site.open()
    before = killed(site.node, 4)
    site.drained()
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    other.daemon.start()
    after = train(other, steps=1)
    back(after, before)
    assert after.process.wait() == 0


def test_a_node_without_the_hub_restores_what_it_has_itself(site: Site) -> None:
    site.open()
    before = killed(site.node, 3)
    site.drained()
    site.hub.kill()
    after = train(site.node, steps=1)
    back(after, before)
    assert after.process.wait() == 0


def test_a_node_without_a_daemon_restores_from_its_own_spool(site: Site) -> None:
    before = killed(site.node, 4, environ=ALONE)
    after = train(site.node, steps=1, environ=ALONE)
    back(after, before)
    assert after.process.wait() == 0


def test_what_was_saved_without_a_daemon_is_restored_elsewhere_after_a_sync(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    before = killed(site.node, 4, environ=ALONE)
    done = site.node.call("sync")
    assert done.returncode == 0, done.stdout + done.stderr
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    other.daemon.start()
    back(train(other, steps=1), before)


def test_checkpoints_survive_kills_of_daemon_and_hub_while_they_travel(site: Site) -> None:
    site.open()
    life = train(site.node, pace=0.05)
    for at in range(4):
        life.remark("saved ", count=2 * at + 2)
        site.node.daemon.kill()
        site.hub.kill()
        site.hub.start()
        site.node.daemon.start()
    life.process.kill()
    lose(site.node)
    site.drained(90)
    for file in site.view.files(PROJECT, RUN, every=True):
        assert file["name"] == NAME
    body = site.view.file(PROJECT, RUN, NAME)
    assert body is not None
    step = int.from_bytes(body[:8], "big")
    assert body == content(step, SIZE)
    assert step in {max(saved(life)), max(saved(life)) + 1}


def test_the_command_line_restores_the_same_bytes(site: Site) -> None:
    site.open()
    life = train(site.node, steps=3)
    assert life.process.wait() == 0
    site.drained()
    target = site.path("restored")
    done = site.node.call("restore", RUN, NAME, "-o", target)
    assert done.returncode == 0, done.stdout + done.stderr
    with open(target, "rb") as file:
        assert file.read() == content(2, SIZE)


def test_a_resume_after_a_finished_run_still_finds_its_checkpoint(site: Site) -> None:
    site.open()
    life = train(site.node, steps=3)
    assert life.process.wait() == 0
    site.drained()
    until(lambda: site.view.state(PROJECT, RUN) == "finished", "finished")
    lose(site.node)
    after = train(site.node, steps=4)
    back(after, life)
    assert after.process.wait() == 0


def test_what_save_was_given_is_what_arrives_whatever_the_script_does_to_the_file_next(site: Site) -> None:
    site.open()
    life = site.node.train("ruined.py")
    life.remark("saved ", count=9)
    wanted = {name: digest for _, name, digest in (one.split() for one in life.remarks)}
    until(
        lambda: {one["name"] for one in site.view.files(PROJECT, RUN)} == set(wanted),
        "all files",
        why=site.words,
    )
    for name, digest in wanted.items():
        assert hashlib.sha256(site.view.file(PROJECT, RUN, name) or b"").hexdigest() == digest, name
    assert "  copies   9 by " in site.node.call("status").stdout
    with open(os.path.join(site.node.work, "go"), "w", encoding="utf-8"):
        pass
    assert life.process.wait() == 0, life.process.words()
    site.drained()
    names = [one["name"] for one in site.view.files(PROJECT, RUN, every=True)]
    later = {name for name in wanted if names.count(name) > 1}
    assert later == {"end-cut.pt", "end-replace.pt", "live-cut.pt", "live-replace.pt"}
    assert len(names) == 9 + len(later)
    assert {site.view.file(PROJECT, RUN, name) for name in later} == {b"0123456789", b"another file"}


def test_a_file_of_several_chunks_is_restored_and_exported_by_commands_or_named_as_damaged(
    site: Site,
) -> None:
    site.open()
    size = 9 << 20
    assert train(site.node, steps=1, size=size, id="big").process.wait(60) == 0
    site.drained(run_id="big")
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    os.makedirs(other.work, exist_ok=True)
    for words, path in (
        (("restore", "big", NAME), NAME),
        (("export", "big", "-o", "out"), os.path.join("out", "admin", PROJECT, "big", "files", NAME)),
    ):
        done = other.call(*words)
        assert done.returncode == 0, done.stderr
        with open(os.path.join(other.work, path), "rb") as file:
            assert file.read() == content(0, size)
    for folder, _, names in os.walk(site.path("hub", "blobs")):
        for name in names:
            os.truncate(os.path.join(folder, name), os.path.getsize(os.path.join(folder, name)) - 1)
    done = other.call("restore", "big", NAME, "--force")
    assert (done.returncode, "damaged at the hub, or gone" in done.stderr) == (1, True), done.stderr
    with open(os.path.join(other.work, NAME), "rb") as file:
        assert file.read() == content(0, size), "what was there stays"


def test_what_a_disk_spoilt_at_the_hub_is_never_given_out_and_is_mended_by_the_next_save(site: Site) -> None:
    site.open()
    life = site.node.train("states.py", steps=1)
    assert life.process.wait(60) == 0, life.process.words()
    site.drained()
    for folder, _, names in os.walk(site.path("hub", "blobs")):
        for name in names:
            with open(os.path.join(folder, name), "r+b") as file:
                file.seek(1000)
                byte = file.read(1)[0]
                file.seek(1000)
                file.write(bytes([byte ^ 1]))
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    other.daemon.start()
    for words in (("--checkpoint",), ("model.bin",)):
        done = other.call("restore", RUN, *words)
        assert (done.returncode, "damaged at the hub" in done.stderr) == (1, True), done.stderr
        assert not os.path.exists(os.path.join(other.work, "model.bin"))
    again = other.train("states.py", steps=1, id="again")
    assert again.process.wait(60) == 0, again.process.words()
    site.drained()
    done = other.call("restore", RUN, "--checkpoint")
    assert done.returncode == 0, done.stderr
    with open(os.path.join(other.work, "checkpoint"), "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == life.remark("saved 0").split()[-1]
