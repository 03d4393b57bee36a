"""A hub whose data folder is put back from a backup while daemon and trainers live on."""

from __future__ import annotations

import os
import shutil

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, Site
from e2e.truths import Life, account


def back_up(site: Site) -> None:
    site.hub.stop()
    shutil.copytree(site.path("hub"), site.path("backup"))
    site.hub.start()


def put_back(site: Site) -> None:
    """The hub as it was when it was backed up."""
    site.hub.stop()
    os.rename(site.path("hub"), site.path("broken"))
    shutil.copytree(site.path("backup"), site.path("hub"))
    site.hub.start()


def at_hub(site: Site, run_id: str, step: int) -> None:
    def there() -> bool:
        shown = site.view.show(PROJECT, run_id)
        return shown is not None and (shown["last_step"] or 0) >= step

    until(there, f"step {step} of {run_id} at the hub", why=site.words)


def a_run(site: Site, run_id: str) -> Life:
    """One that was begun before the backup, or between that and the loss, and is finished."""
    life = site.node.rows(steps=50, id=run_id)
    assert life.process.wait() == 0
    at_hub(site, run_id, 49)
    return life


@pytest.mark.parametrize("restart", [False, True])
def test_what_the_hub_lost_is_sent_again_whole(site: Site, restart: bool) -> None:
    site.node.configure(heartbeat=0.5)
    site.open()
    before = a_run(site, "before")
    living = site.node.rows(steps=10**6, pace=0.005, id="living").reach(50)
    at_hub(site, "living", 50)
    back_up(site)
    between = a_run(site, "between")
    living.reach(living.last_step + 100)
    at_hub(site, "living", living.last_step - 50)
    if restart:
        site.node.daemon.kill()
    put_back(site)
    if restart:
        site.node.daemon.start()
    assert site.view.show(PROJECT, "between") is None or restart
    until(lambda: site.view.state(PROJECT, "between") == "finished", "the lost run back", why=site.words)
    told = [text for text in site.node.status()["warnings"] if "put back from a backup" in text]
    assert len(told) == 1, told
    living.reach(living.last_step + 100)
    living.process.kill()
    living.process.wait()
    for run_id, life in (("before", before), ("between", between), ("living", living)):
        site.drained(run_id=run_id)
        account(site.view, PROJECT, run_id, [life])


@pytest.mark.slow
def test_what_nobody_has_any_more_is_a_loss_with_its_range_and_the_rest_goes_on(site: Site) -> None:
    # So small that acknowledged segments are not kept; and rows so slow that it holds what comes while there is no
    # hub, however busy the machine: what is dropped for want of room is lost in another way.
    site.node.environ["RESPOOL_ROWS_QUOTA"] = site.node.daemon.environ["RESPOOL_ROWS_QUOTA"] = "32M"
    site.node.configure(heartbeat=0.5)
    site.open()
    back_up(site)
    life = site.node.rows(steps=10**6, pace=0.004, pad=20_000).reach(1000)
    at_hub(site, "run-1", 1000)
    put_back(site)
    life.reach(life.last_step + 100)
    at_hub(site, "run-1", life.last_step)
    life.process.kill()
    run = site.drained()
    steps = {row["_step"] for row in site.view.history(PROJECT, "run-1", every=True)}
    missing = {one.step for one in life.noted} - steps
    assert missing
    assert run["lost"] >= len(missing)
    assert missing == set(range(max(missing) + 1))
    assert run["lost"] - len(missing) <= 10  # the records beside the rows: config, snapshots
