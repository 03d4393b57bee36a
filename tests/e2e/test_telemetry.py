"""Beside the rows: what the job did to its machine, what it printed, what it was started with."""

from __future__ import annotations

import json
from typing import Any

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site


def beside(site: Site, kind: str, *words: str) -> list[dict[str, Any]]:
    done = site.node.call(kind, f"{PROJECT}/{RUN}", "--json", "--all", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_daemon_samples_a_job_while_it_lives_and_keeps_it_no_longer_alive(site: Site) -> None:
    site.node.configure(system_period=0.2)
    site.open()
    life = site.node.rows(steps=10**6, pace=0.002).reach(100)
    samples = until(
        lambda: found if len(found := beside(site, "system")) >= 3 else None, "samples", 60, site.words
    )
    assert all(one["processes"] >= 1 and one["rss"] > 1 << 20 for one in samples)
    assert all(one["_writer"] >= 1 << 16 for one in samples)
    life.process.kill()
    run = site.drained()
    assert (run["state"], run["lost"]) == ("crashed", 0)
    again = site.node.rows(steps=life.last_step + 50)
    assert again.process.wait() == 0
    assert site.drained()["state"] == "finished"
    assert "CPU" in site.node.call("system", RUN).stdout


def test_samples_go_on_under_a_daemon_that_was_killed_and_can_be_switched_off(site: Site) -> None:
    site.node.configure(system_period=0.2)
    site.open()
    life = site.node.rows(steps=10**6, pace=0.002).reach(100)
    other = site.node.rows(steps=10**6, pace=0.002, id="quiet", environ={"RESPOOL_SYSTEM": "0"}).reach(10)
    until(lambda: beside(site, "system"), "samples", 60, site.words)
    site.node.daemon.kill()
    site.node.daemon.start()
    until(lambda: len({one["_writer"] for one in beside(site, "system")}) == 2, "more", 60, site.words)
    life.process.kill()
    other.process.kill()
    run = site.drained()
    assert (run["state"], run["lost"]) == ("crashed", 0)
    done = site.node.call("system", f"{PROJECT}/quiet", "--json")
    assert (done.returncode, done.stdout) == (0, "")


def test_what_was_printed_and_started_with_is_at_the_hub(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=1, end="raise")
    assert life.process.wait() == 1
    site.drained()
    lines = [one["text"] for one in beside(site, "console")]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "RuntimeError: as told"
    run = site.view.show(PROJECT, RUN)
    assert run is not None
    about = run["attempts"][0]["about"]
    assert about["argv"][0].endswith("rows.py")
    assert "RuntimeError: as told" in site.node.call("console", RUN).stdout
    assert "rows.py" in site.node.call("show", RUN).stdout
