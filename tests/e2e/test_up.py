"""`respool up`: one of them, what its children said is kept, and a daemon that was there before is used."""

from __future__ import annotations

import os
import signal

from e2e.processes import Process
from e2e.sites import Node, Site, respool


def up(site: Site, node: Node, *words: str) -> Process:
    environ = {name: value for name, value in node.environ.items() if name != "RESPOOL_SOCKET"}
    # What it says last: a test may look for what it said before.
    return site.process("up", respool("up", *words), environ, ready="  respool runs ")


def log_of(node: Node, name: str) -> str:
    with open(os.path.join(node.environ["XDG_STATE_HOME"], "respool", "log", f"{name}.log")) as file:
        return file.read()


def test_a_second_up_is_refused_and_names_the_first(site: Site) -> None:
    first = up(site, site.node).start()
    second = up(site, site.node, "--data", site.path("other"))
    assert second.launch().wait(20) == 1
    assert f"`respool up` runs already, as process {first.pid}." in second.words()
    assert first.alive
    assert first.stop() == 0
    third = up(site, site.node).start()
    assert third.stop() == 0


def test_what_the_children_said_survives_their_restart(site: Site) -> None:
    process = up(site, site.node)
    for life in range(1, 3):
        process.start()
        assert log_of(site.node, "hub").count("respool hub ready at") == life
        assert log_of(site.node, "daemon").count("respoold ready at") == life
        assert process.stop() == 0


def test_a_daemon_that_was_started_for_a_run_goes_on_under_up(site: Site) -> None:
    node = site.node
    assert up(site, node).start().stop() == 0
    auto = {"RESPOOL_SOCKET": "", "RESPOOL_AUTOSTART": "1", "RESPOOL_IDLE_EXIT": "2"}
    life = node.rows(steps=10**6, pace=0.01, environ=auto).reach(20)
    said = next(line for line in life.process.lines() if "started a daemon (process" in line)
    daemon = int(said.partition("process ")[2].partition(",")[0])
    process = up(site, node).start()
    try:
        assert "was running already" in "\n".join(process.lines())
        os.kill(daemon, 0)
        assert process.stop() == 0
        os.kill(daemon, 0)
    finally:
        os.kill(daemon, signal.SIGKILL)
    life.process.kill()
