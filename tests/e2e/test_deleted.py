"""A run that is deleted at the hub while a node still holds some of it."""

from __future__ import annotations

from typing import Any

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import account


def test_finish_does_not_wait_for_a_hub_that_deleted_the_run(site: Site) -> None:
    site.node.environ["RESPOOL_LASTING"] = site.node.daemon.environ["RESPOOL_LASTING"] = "0"
    site.open()
    life = site.node.rows(steps=100, pace=0.02).reach(10)
    until(lambda: site.view.find(PROJECT, RUN), "the run at the hub", why=site.words)
    assert site.node.call("delete", f"{PROJECT}/{RUN}", "--yes").returncode == 0
    assert life.process.wait(40) == 0, life.process.words()
    assert any("  late " in line for line in life.process.lines()), "it did wait, a moment"
    said = life.process.lines()
    assert sum("was deleted at the hub by admin; the training goes on" in line for line in said) == 1, said
    assert any("for nobody: Run admin/e2e/run-1 was deleted at the hub by admin." in line for line in said)


def test_a_deleted_run_is_held_visibly_and_its_id_begins_anew(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=10**6, pace=0.002).reach(100)
    until(lambda: site.view.find(PROJECT, RUN), "the run at the hub", why=site.words)
    done = site.node.call("delete", f"{PROJECT}/{RUN}", "--yes")
    assert done.returncode == 0, done.stderr
    assert "Deleted admin/e2e/run-1: 1 attempt" in done.stdout

    def held() -> dict[str, Any] | None:
        found = site.node.status()
        return (
            next((run for run in found["runs"] if "deleted" in (run["why"] or "")), None) if found else None
        )

    found = until(held, "held", 30, site.words)
    assert found["why"] == "Run admin/e2e/run-1 was deleted at the hub by admin."
    assert "respool spool purge" in found["advice"]
    life.process.kill()
    assert site.view.find(PROJECT, RUN) is None, "nothing made it again"
    again = site.node.rows(steps=50)
    assert again.process.wait() == 0, again.process.words()
    assert again.facts["resumed"] is False
    until(lambda: (site.view.find(PROJECT, RUN) or {}).get("rows") == 50, "the new run", 30, site.words)
    account(site.view, PROJECT, RUN, [again])
