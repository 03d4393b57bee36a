"""One user's odd data, or an `rm -rf` at the wrong place, must not end the daemon that all others depend on."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
from typing import Any

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site

ODD = """
import respool
run = respool.init(project=%r, id="odd")
run.log({b"bytes": 1, 3: 2, "plain": 3})
run.log({"nested": {(0, 1): 3, b"k": {None: 1}}, "plain": 4})
run.finish(exit_code=1)
"""


def script(site: Site, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text],
        env=site.node.environ,
        cwd=site.node.work,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_keys_that_are_no_text_arrive_as_text_and_end_nobody(site: Site) -> None:
    site.open()
    done = script(site, ODD % PROJECT)
    assert done.returncode == 0, done.stderr
    site.drained(run_id="odd")
    lines = site.node.call("history", f"{PROJECT}/odd", "--json").stdout.splitlines()
    assert [json.loads(line)["plain"] for line in lines] == [3, 4]
    assert site.node.daemon.alive
    assert site.node.daemon.stop() == 0
    site.node.daemon.start()
    life = site.node.rows(steps=20)
    assert life.process.wait() == 0, life.process.words()
    assert site.drained()["last_step"] == 19


def test_a_user_who_removes_his_attempts_ends_nobody_elses(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    assert site.hub.stop() == 0
    site.node.daemon.start()
    gone = site.node.rows(id="gone", steps=50, end="hang").reach(49)
    for folder in glob.glob(os.path.join(site.node.spool, "v1", "u*", "*")):
        shutil.rmtree(folder)
    gone.process.kill()
    kept = site.node.rows(id="kept", steps=50)
    assert kept.process.wait() == 0, kept.process.words()
    site.hub.start()
    until(lambda: (site.view.show(PROJECT, "kept") or {}).get("rows") == 50, "the other run at the hub")
    assert site.node.daemon.alive


def test_an_attach_refused_for_want_of_room_leaves_nothing_at_the_hub(site: Site) -> None:
    site.node.daemon.environ |= {"RESPOOL_ROWS_QUOTA": "10M"}
    site.open()
    life = site.node.rows(steps=30)
    assert life.process.wait() == 0, life.process.words()
    assert "rows hold" in life.process.words()
    run = until(lambda: whole(site), "the run at the hub, from the spool that its process made itself")
    assert [one["number"] for one in run["attempts"]] == [1]
    assert [row["_step"] for row in site.view.history(PROJECT, RUN)] == list(range(30))


def whole(site: Site) -> dict[str, Any] | None:
    run = site.view.show(PROJECT, RUN)
    return run if run and run["rows"] == 30 else None
