"""`respool spool`: what lies here, and removing it, with a daemon and without one."""

from __future__ import annotations

import json
import os
from typing import Any

from e2e.processes import until
from e2e.sites import Site


def listed(site: Site) -> list[dict[str, Any]]:
    done = site.node.call("spool", "ls", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_the_hub_has_may_go_what_it_has_not_only_by_force_and_what_lives_never(site: Site) -> None:
    site.open()
    node = site.node
    assert node.rows(steps=50, id="sent", end="exit", code=3).process.wait() == 3
    until(lambda: (site.view.find("e2e", "sent") or {}).get("state") == "failed", "sent", why=site.words)
    until(lambda: not (node.status() or {"runs": [1]})["runs"], "all of it", why=site.words)
    site.hub.stop()
    assert node.rows(steps=50, id="unsent").process.wait() == 0
    life = node.rows(steps=10**6, pace=0.005, id="alive").reach(20)
    keeps = {one["run_id"]: one["keep"] for one in listed(site)}
    assert {"unsent": "unsent", "alive": "alive"}.items() <= keeps.items()
    assert keeps.get("sent", "") == ""
    shown = node.call("spool", "ls").stdout
    assert "with --force" in shown
    assert "no, it runs" in shown

    done = node.call("spool", "purge")
    assert done.returncode == 0, done.stderr
    assert "Kept" in done.stderr
    assert {one["run_id"] for one in listed(site)} == {"unsent", "alive"}
    asked = node.call("spool", "purge", "unsent", "--force")
    assert asked.returncode == 2
    assert "50 records" in asked.stderr or "records" in asked.stderr
    done = node.call("spool", "purge", "--force", "--yes")
    assert done.returncode == 0, done.stderr
    assert [one["run_id"] for one in listed(site)] == ["alive"]
    life.reach(life.last_step + 50)
    life.process.kill()


def test_without_a_daemon_the_spool_is_looked_at_directly(site: Site) -> None:
    site.open()
    node = site.node
    site.hub.stop()
    assert node.rows(steps=50, id="unsent").process.wait() == 0
    busy = node.call("spool", "ls", "--spool", node.spool)
    assert busy.returncode == 2
    assert "another daemon holds the spool" in busy.stderr.lower()
    assert node.daemon.stop() == 0
    done = node.call("spool", "ls", "--spool", node.spool, "--json")
    (found,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (found["run_id"], found["keep"]) == ("unsent", "unsent")
    assert found["pending_records"] >= 50
    assert node.call("spool", "purge", "other", "--spool", node.spool).returncode == 2
    done = node.call("spool", "purge", "--force", "--yes", "--spool", node.spool)
    assert "Removed 1 attempt" in done.stdout, done.stderr
    assert not os.path.exists(found["directory"])
