"""Promise P6 when space runs out: training goes on, files are refused first, and lost rows are counted exactly."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import Life

KEY = 1 << 20


def small(site: Site, **limits: str) -> Site:
    """No hub for now, and a daemon of small means."""
    site.hub.start()
    site.give_keys()
    assert site.hub.stop() == 0
    site.node.daemon.environ |= limits
    # Their records come at any time, and would be lost beside the rows.
    site.node.environ |= {f"RESPOOL_{name}": "0" for name in ("ABOUT", "GIT", "CONSOLE", "SYSTEM")}
    site.node.daemon.start()
    return site


def lost(site: Site, life: Life) -> int:
    """How many of the logged rows are not at the hub; the others are, once, in order, unchanged."""
    records = site.view.history(PROJECT, RUN, every=True)
    steps = [row["_step"] for row in records]
    assert steps == sorted(set(steps))
    logged = dict(life.noted)
    assert all(logged[row["_step"]] == row["value"] for row in records)
    return len(logged) - len(steps)


def test_rows_beyond_the_quota_are_counted_exactly_and_warned_of_once(site: Site) -> None:
    small(site, RESPOOL_ROWS_QUOTA="16M")
    life = site.node.rows(steps=20_000, pad=2000, pace=0.0001)
    assert life.process.wait() == 0, life.process.words()
    said = [line for line in life.process.lines() if "dropped" in line]
    assert len(said) == 1, said
    assert "quota" in said[0]
    site.hub.start()
    run = site.drained()
    missing = lost(site, life)
    assert missing > 3000
    assert run["lost"] == missing
    assert run["state"] == "finished", "what ends a run has a reserve"


def beyond(site: Site, step: int) -> int | None:
    last: int | None = (site.view.find(PROJECT, RUN) or {}).get("last_step")
    return last if last is not None and last > step else None


@pytest.mark.slow
def test_when_the_hub_is_back_rows_are_kept_again(site: Site) -> None:
    small(site, RESPOOL_ROWS_QUOTA="16M")
    life = site.node.rows(steps=10**7, pad=2000, pace=0.0001)
    until(
        lambda: any("dropped" in line for line in life.process.lines()), "the quota used up", 60, site.words
    )
    site.hub.start()
    full = life.last_step
    later = until(lambda: beyond(site, full), "later rows", 60, site.words)
    until(lambda: beyond(site, later + 200), "rows enough to see that none is missing", 60, site.words)
    life.process.kill()
    run = site.drained()
    missing = lost(site, life)
    assert 0 <= missing - run["lost"] <= life.last_step - full, "what was counted when the process died"
    tail = [row["_step"] for row in site.view.history(PROJECT, RUN)][-50:]
    assert tail[-1] - tail[0] == 49, "nothing is lost any more"


def test_files_are_refused_before_rows_are(site: Site) -> None:
    small(site, RESPOOL_BLOBS_QUOTA="4M")
    life = site.node.train("checkpoints.py", steps=20, size=3 * KEY)
    assert life.process.wait() == 0, life.process.words()
    saved = [one for one in life.remarks if one.startswith("saved ")]
    assert len(saved) < 20
    assert any("no version of it was kept" in line for line in life.process.lines())
    site.hub.start()
    run = site.drained()
    assert (run["rows"], run["lost"]) == (20, 0)
    [file] = site.view.files(PROJECT, RUN)
    newest = max(int(one.split()[1]) for one in saved)
    body = site.view.file(PROJECT, RUN, file["name"])
    assert body is not None
    assert int.from_bytes(body[:8], "big") == newest


@pytest.fixture
def small_disk(site: Site) -> Iterator[Site]:
    """The first node's spool is on a disk of its own, of 48 MiB."""
    os.makedirs(site.node.spool)
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", site.node.spool]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nobody but root may mount a small disk")
    yield site
    for process in site.processes:
        process.kill()
    subprocess.run(["umount", site.node.spool], check=True)


@pytest.mark.slow
def test_a_disk_that_is_really_full_ends_nothing_and_is_counted(small_disk: Site) -> None:
    site = small(small_disk)
    life = site.node.rows(steps=40_000, pad=2000, pace=0.00005)
    saver = site.node.train("checkpoints.py", id="saver", steps=30, size=4 * KEY)
    assert life.process.wait(90) == 0, life.process.words()
    assert saver.process.wait(90) == 0, saver.process.words()
    assert site.node.daemon.alive, site.node.daemon.words()
    site.hub.start()
    run = site.drained(90)
    missing = lost(site, life)
    assert missing > 0
    assert run["lost"] == missing
    assert site.drained(run_id="saver")["rows"] == 30
    again = site.node.rows(steps=42_000)
    assert again.process.wait() == 0
    after = site.drained()
    assert (after["lost"], after["state"]) == (missing, "finished"), "there is room again"


def test_a_full_spool_keeps_the_newest_checkpoint_at_the_cost_of_older_ones_and_every_row(site: Site) -> None:
    small(site, RESPOOL_BLOBS_QUOTA="15M")
    life = site.node.train("states.py", steps=6, size=3 * KEY, keep=3)
    assert life.process.wait() == 0, life.process.words()
    saved = [int(one.split()[1]) for one in life.remarks if one.startswith("saved ")]
    assert saved == list(range(6)), "the unsent older ones went"
    assert not any("was not kept" in line for line in life.process.lines())
    site.node.daemon.stop()
    site.node.daemon.environ["RESPOOL_BLOBS_QUOTA"] = "5M"
    site.node.daemon.start()
    more = site.node.train("states.py", steps=8, size=6 * KEY, keep=3)
    assert more.process.wait() == 0, more.process.words()
    (said,) = {
        line.partition("was not kept: ")[2] for line in more.process.lines() if "checkpoint at step 6" in line
    }
    assert "this user's files hold" in said
    assert "MiB are missing. Training goes on." in said
    site.hub.start()
    run = site.drained()
    assert (run["rows"], run["lost"]) == (8, 0)
    assert site.view.checkpoints(PROJECT, RUN)[0]["step"] == 5
