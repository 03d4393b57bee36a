"""Folders of runs without a daemon, read by several at once while they are written, copied, and left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from hashlib import sha256

import pytest

from e2e.hub_view import HubView
from e2e.processes import Process, until
from e2e.sites import PROJECT, RUN, Node, Site, respool
from e2e.truths import account

ALONE = {"RESPOOL_MODE": "spool"}
SPOOL = os.path.join("respool", "spool")


def tell(node: Node, spool: str) -> None:
    """Register a spool with the daemon of a node, as a shim there would have done."""
    registry = os.path.join(node.environ["XDG_STATE_HOME"], "respool", "spools")
    os.makedirs(registry, mode=0o700, exist_ok=True)
    with open(os.path.join(registry, sha256(spool.encode()).hexdigest()[:16]), "w") as file:
        file.write(spool)


def sync(node: Node, *words: str) -> dict[str, object]:
    done = node.call("sync", "--json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def kept(site: Site) -> int:
    run = site.view.find(PROJECT, RUN)
    return 0 if run is None else int(run["rows"])


def contents(folder: str) -> dict[str, bytes]:
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(at, name), "rb") as file:
                found[os.path.relpath(os.path.join(at, name), folder)] = file.read().rstrip(b"\0")
    return found


def test_two_daemons_and_a_sync_read_one_living_folder_and_nothing_is_lost_or_doubled(site: Site) -> None:
    site.open()
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    other.daemon.start()
    spool = os.path.join(site.node.work, SPOOL)
    life = site.node.rows(steps=10**6, pace=0.001, pad=2000, environ=ALONE).reach(100)
    tell(other, spool)
    syncing: list[Process] = []
    for turn in range(3):
        command = site.process(f"sync-{turn}", respool("sync", spool), other.environ)
        command.environ["RESPOOL_HUB_URL"] = site.hub_url
        syncing.append(command.launch())
        life.reach(life.last_step + 400)
        for killed in (site.node.daemon, other.daemon, command)[turn:]:
            killed.kill()
        for daemon in (site.node.daemon, other.daemon):
            if not daemon.alive:
                daemon.start()
        life.reach(life.last_step + 200)
    until(lambda: kept(site) > 1500, "rows at the hub while the writer lives", 60, site.words)
    life.process.kill()
    assert sync(other, spool)["lost"] == 0
    assert site.drained()["state"] == "crashed"
    until(lambda: not (other.status() or {"runs": [1]})["runs"], "all at the hub", 60, site.words)
    account(site.view, PROJECT, RUN, [life])


@pytest.mark.slow
def test_two_daemons_that_come_and_go_make_room_for_a_living_writer_and_nothing_is_lost(site: Site) -> None:
    other = site.add_node("b")
    for node in (site.node, other):
        node.configure(rows_quota=8 << 20)
    site.open()
    other.login(site.hub_url, site.key())
    spool = os.path.join(site.node.work, SPOOL)
    environ = {**ALONE, "RESPOOL_ROWS_QUOTA": str(40 << 20)}
    life = site.node.rows(steps=10**6, pad=60000, pace=0.005, environ=environ).reach(10)
    tell(other, spool)
    for there, gone in [(site.node, other), (other, site.node)]:
        for daemon in (there.daemon, gone.daemon):
            if not daemon.alive:
                daemon.start()
        life.reach(life.last_step + 150)
        gone.daemon.kill()
        life.reach(life.last_step + 350)
    life.process.kill()
    site.node.daemon.start()
    run = site.drained()
    assert (run["state"], run["lost"]) == ("crashed", 0)
    assert sync(other, spool)["lost"] == 0
    assert account(site.view, PROJECT, RUN, [life]).kept > 900


def test_who_raced_for_a_folder_leaves_no_backlog_behind_that_is_none(site: Site) -> None:
    site.node.configure(heartbeat=0.05)
    site.hub.start()
    site.give_keys()
    life = site.node.rows(steps=30_000, pad=500, environ=ALONE)
    assert life.process.wait() == 0
    site.node.daemon.launch()
    assert sync(site.node)["lost"] == 0
    until(lambda: not any(one["pending_records"] for one in site.view.nodes()), "no backlog", 60, site.words)
    site.drained()
    assert site.node.daemon.stop() == 0
    run = site.view.show(PROJECT, RUN)
    assert run is not None
    assert (run["rows"], run["pending_records"]) == (30_000, 0)


def test_an_adopter_only_reads_while_the_writer_lives(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=300, pace=0.001, end="hang", environ=ALONE).reach(299)
    folder = os.path.join(site.node.work, SPOOL)
    before = contents(folder)
    until(lambda: kept(site) >= 300, "rows at the hub", 60, site.words)
    assert contents(folder) == before
    life.process.kill()
    site.drained()
    account(site.view, PROJECT, RUN, [life])


def test_copies_made_while_it_is_written_bring_what_they_have_and_later_the_rest(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    spool, copy = os.path.join(site.node.work, SPOOL), site.path("copy")
    life = site.node.rows(steps=10**6, pace=0.001, environ=ALONE)
    had = 0
    for _ in range(3):
        life.reach(life.last_step + 300)
        shutil.copytree(spool, copy, dirs_exist_ok=True)
        assert sync(other, copy)["lost"] == 0
        had, before = kept(site), had
        assert had >= before + 300
    life.process.kill()
    shutil.copytree(spool, copy, dirs_exist_ok=True)
    sync(other, copy)
    account(site.view, PROJECT, RUN, [life])


def test_a_finished_run_that_was_adopted_is_remembered_when_its_folder_is_gone(site: Site) -> None:
    site.open()
    first = site.node.rows(steps=40, config=1, environ=ALONE)
    assert first.process.wait() == 0
    until(lambda: not os.listdir(os.path.join(site.node.work, SPOOL)), "the folder gone", 60, site.words)
    site.hub.kill()
    site.node.daemon.kill()
    second = site.node.rows(steps=60, environ=ALONE)
    assert second.process.wait() == 0
    assert (second.begun()["step"], second.begun()["config"]["lr"]) == (40, 0.1)
    site.hub.start()
    site.node.daemon.start()
    site.drained()
    assert account(site.view, PROJECT, RUN, [first, second]).history == 60


def test_sync_of_a_folder_that_holds_no_run_says_so(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    done: subprocess.CompletedProcess[str] = site.node.call("sync", site.node.work)
    assert done.returncode == 2
    assert "There is nothing to upload in" in done.stderr


def test_another_hub_named_by_hand_gets_all_of_what_the_first_has(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    life = site.node.rows(steps=60, end="exit", code=1, environ=ALONE)
    assert life.process.wait() == 1
    assert sync(site.node)["records"]
    account(site.view, PROJECT, RUN, [life])
    url = f"unix:{site.path('second.sock')}"
    words = ["hub", "--data", site.path("second"), "--listen", url]
    site.process(
        "second", respool(*words), site.environ("second-home"), ready="respool hub ready at "
    ).start()
    with open(site.path("second", "admin-key"), encoding="utf-8") as file:
        key = file.readline().strip()
    site.node.login(url, key)
    assert sync(site.node, "--hub", url)["lost"] == 0
    view = HubView(url, key)
    try:
        assert account(view, PROJECT, RUN, [life]).history == 60
    finally:
        view.close()


@pytest.mark.slow
def test_a_process_without_a_daemon_may_write_more_than_its_quota_when_a_daemon_reads_along(
    site: Site,
) -> None:
    quota = 48 << 20
    site.node.configure(rows_quota=8 << 20)
    site.open()
    environ = {**ALONE, "RESPOOL_ROWS_QUOTA": str(quota)}
    life = site.node.rows(steps=1200, pad=60000, pace=0.004, end="fall", environ=environ)
    assert life.process.wait(120) == 0, life.process.words()
    run = site.drained()
    assert (run["rows"], run["lost"]) == (1200, 0)
    account(site.view, PROJECT, RUN, [life])
