"""Promise P2: without a daemon everything is kept the same way, and arrives when one comes, or by one command."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import sys

import pytest

from e2e.sites import PROJECT, RUN, Node, Site
from e2e.truths import account

ALONE = {"RESPOOL_MODE": "spool"}
SPOOL = os.path.join("respool", "spool")


def sync(node: Node, *words: str) -> dict[str, object]:
    """`respool sync`, which must find everything well."""
    done = node.call("sync", "--json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def up(site: Site) -> Node:
    """A hub, and a node with a key and no daemon."""
    site.hub.start()
    site.give_keys()
    return site.node


def test_a_killed_run_without_a_daemon_is_brought_by_one_command_and_only_once(site: Site) -> None:
    node = up(site)
    life = node.rows(steps=10**6, pace=0.001, environ=ALONE).reach(500)
    life.process.kill()
    first = sync(node, SPOOL)
    assert first["left_records"] == 0
    assert account(site.view, PROJECT, RUN, [life]).kept >= 501
    again = sync(node, SPOOL)
    assert (again["records"], again["left_records"], again["lost"]) == (0, 0, 0)
    account(site.view, PROJECT, RUN, [life])
    run = site.view.show(PROJECT, RUN)
    assert run is not None
    assert run["state"] == "crashed"


SAVES = """
import sys
import respool

with open("model", "wb") as file:
    file.write(bytes(300_000))
run = respool.init(project="e2e", id="saver")
run.log({"loss": 1.0})
assert run.save("model")
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize(("code", "left"), [(0, 0), (1, 1)])
def test_a_finished_run_that_saved_a_file_leaves_no_folder_behind_a_sync(
    site: Site, code: int, left: int
) -> None:
    node = up(site)
    saver = site.process("saver", [sys.executable, "-c", SAVES, str(code)], node.environ | ALONE)
    saver.cwd = node.work
    assert saver.launch().wait() == code
    assert sync(node, SPOOL)["files"] == 1
    # Of one that may be continued, the folder is all that there is to resume from.
    assert len(os.listdir(os.path.join(node.work, SPOOL))) == left


def test_sync_finds_the_spools_that_runs_registered(site: Site) -> None:
    node = up(site)
    elsewhere = site.path("elsewhere")
    life = node.rows(steps=50, environ=ALONE | {"RESPOOL_SPOOL_DIR": elsewhere})
    assert life.process.wait() == 0
    assert sync(node)["left_records"] == 0
    assert account(site.view, PROJECT, RUN, [life]).kept == 50


def test_sync_brings_what_there_is_of_a_run_that_goes_on(site: Site) -> None:
    node = up(site)
    life = node.rows(steps=10**6, pace=0.002, environ=ALONE).reach(200)
    sync(node, SPOOL)
    early = site.view.find(PROJECT, RUN)
    assert early is not None
    assert early["rows"] >= 200
    assert early["state"] in {"running", "silent"}
    life.reach(life.last_step + 100)
    life.process.kill()
    sync(node, SPOOL)
    account(site.view, PROJECT, RUN, [life])


def test_a_running_daemon_adopts_registered_spools_by_itself(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=10**6, pace=0.001, environ=ALONE).reach(300)
    life.process.kill()
    found = site.drained()
    assert found["state"] == "crashed"
    account(site.view, PROJECT, RUN, [life])


def test_a_daemon_that_comes_later_adopts_them_too(site: Site) -> None:
    node = up(site)
    life = node.rows(steps=100).reach(99)
    assert life.process.wait() == 0
    assert "without a daemon" in "\n".join(life.process.lines())
    node.daemon.start()
    assert site.drained()["state"] == "finished"
    account(site.view, PROJECT, RUN, [life])


def test_a_run_without_any_daemon_is_resumed_from_its_own_spool(site: Site) -> None:
    node = up(site)
    lives = []
    for _ in range(3):
        lives.append(node.rows(steps=10**6, pace=0.001, config=1, environ=ALONE))
        lives[-1].reach(max(life.last_step for life in lives) + 100)
        lives[-1].process.kill()
    for before, after in itertools.pairwise(lives):
        facts = after.begun()
        assert facts["resumed"]
        assert before.last_step + 1 <= facts["step"] <= before.last_step + 2
        assert facts["config"]["lr"] == 0.1
    sync(node, SPOOL)
    account(site.view, PROJECT, RUN, lives)


@pytest.mark.parametrize("run_id", ["waited", None])
def test_who_waits_for_a_writer_begins_after_all_that_it_logged_meanwhile(
    site: Site, run_id: str | None
) -> None:
    launch = {"SLURM_JOB_ID": "77", "SLURM_CLUSTER_NAME": "c"}
    given = {"id": run_id or "", "resume": "allow" if run_id else "true", "environ": ALONE | launch}
    first = site.node.rows(steps=30, pace=0.05, **given).reach(5)
    second = site.node.rows(steps=35, restart="step", **given)
    assert [life.process.wait(60) for life in (first, second)] == [0, 0]
    if run_id is None:
        assert second.begun()["run_id"] != first.begun()["run_id"], (
            "a second seed of one job is a run of its own"
        )
        return
    assert second.begun()["step"] == 30, second.process.words()
    assert [one.step for one in second.noted] == list(range(30, 35))


def test_a_carried_spool_arrives_from_where_it_was_carried_to(site: Site) -> None:
    node = up(site)
    life = node.rows(steps=80, environ=ALONE)
    assert life.process.wait() == 0
    os.rename(os.path.join(node.work, "respool", "spool"), site.path("carried"))
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    assert sync(other, site.path("carried"))["left_records"] == 0
    assert account(site.view, PROJECT, RUN, [life]).kept == 80


def test_sync_without_a_hub_says_so_and_keeps_everything(site: Site) -> None:
    node = up(site)
    life = node.rows(steps=60, environ=ALONE)
    assert life.process.wait() == 0
    site.hub.kill()
    done = node.call("sync", SPOOL)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "nothing is lost" in done.stdout + done.stderr
    site.hub.start()
    sync(node, SPOOL)
    assert account(site.view, PROJECT, RUN, [life]).kept == 60


def test_where_nothing_lasts_finish_sends_everything_before_it_returns(site: Site) -> None:
    node = up(site)
    life = node.rows(steps=300, environ={"RESPOOL_LASTING": "0"})
    assert life.process.wait(60) == 0
    assert "at the hub" in "\n".join(life.process.lines())
    assert account(site.view, PROJECT, RUN, [life]).kept == 300


@pytest.mark.slow
def test_where_nothing_lasts_and_the_hub_is_away_finish_says_so_loudly(site: Site) -> None:
    node = up(site)
    site.hub.kill()
    life = node.rows(steps=30, environ={"RESPOOL_LASTING": "0"})
    assert life.process.wait(60) == 0
    said = "\n".join(life.process.lines())
    assert "what was logged will be lost with this job" in said
    assert "`respool sync` ended with exit code 3" in said


def test_a_daemon_whose_spool_will_not_last_is_waited_for(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    site.node.daemon.environ["RESPOOL_LASTING"] = "0"
    site.node.daemon.start()
    life = site.node.rows(steps=2000, pad=500)
    assert life.process.wait(60) == 0
    assert "at the hub" in "\n".join(life.process.lines())
    assert account(site.view, PROJECT, RUN, [life]).kept == 2000


def test_ranks_without_a_daemon_are_one_attempt_and_arrive_as_its_writers(site: Site) -> None:
    node = up(site)
    sized = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "MASTER_PORT": "29500"}
    ranks = [{"RANK": str(rank), **sized} for rank in range(4)]
    lives = [node.rows(steps=100, pace=0.01, environ=ALONE | rank) for rank in ranks]
    assert [life.process.wait() for life in lives] == [0] * 4
    assert len({life.begun()["attempt_id"] for life in lives}) == 1
    assert sync(node, SPOOL)["left_records"] == 0
    run = site.view.show(PROJECT, RUN)
    assert run is not None
    assert (len(run["attempts"]), run["state"], run["last_step"]) == (1, "finished", 99)
    every = site.view.history(PROJECT, RUN, every=True)
    assert sorted((row["_writer"], row["_step"]) for row in every) == [
        (rank, step) for rank in range(4) for step in range(100)
    ]
    assert [row["_step"] for row in site.view.history(PROJECT, RUN)] == list(range(100))


def test_a_daemon_without_a_hub_keeps_nobody_waiting_and_the_loss_is_said(site: Site) -> None:
    node = site.node
    node.environ["RESPOOL_LASTING"] = node.daemon.environ["RESPOOL_LASTING"] = "0"
    at = node.daemon.argv.index("--hub")
    del node.daemon.argv[at : at + 2]
    node.daemon.start()
    life = node.rows(steps=30)
    assert life.process.wait(60) == 0, life.process.words()
    said = life.process.words()
    assert "will be lost with this job" in said
    assert "without a daemon" not in said


def rebooted(spool: str) -> None:
    """As the machine finds it after it went down: of another boot, and nothing noted to be on disk."""
    for folder, _, names in os.walk(spool):
        for name in names:
            path = os.path.join(folder, name)
            if name == "attempt.json":
                with open(path, encoding="utf-8") as file:
                    paper = file.read()
                with open(path, "w", encoding="utf-8") as file:
                    file.write(paper.replace('"boot_id": "', '"boot_id": "before-'))
            elif name.endswith(".chunks"):
                os.unlink(path)


def test_a_checkpoint_that_nobody_saw_on_disk_before_a_reboot_is_not_sent_but_kept_and_named(
    site: Site,
) -> None:
    node = up(site)
    life = node.train("states.py", steps=1, end="hang", environ=ALONE)
    digest = life.remark("saved 0").split()[-1]
    life.process.kill()
    rebooted(os.path.join(node.work, SPOOL))
    done = node.call("sync", SPOOL)
    assert done.returncode == 1, done.stdout + done.stderr
    named = re.search(r"checkpoint \S+ at step 0: .* kept in (\S+)\.", done.stderr)
    assert named, done.stderr
    with open(named[1], "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == digest
    assert site.view.checkpoints(PROJECT, RUN) == []
    assert node.call("sync", SPOOL).returncode == 0, "it was said, and nothing else is left"
    assert os.path.exists(named[1])
