"""A system daemon takes over what another user's processes kept without it: by descriptors, for it reads no homes."""

from __future__ import annotations

import os
import shutil

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, Node, Site
from e2e.truths import Life, account

STRANGER = 65534
ALONE = {"RESPOOL_MODE": "spool"}
pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs two users: run as root, with setpriv"
)


@pytest.fixture
def stranger(site: Site) -> Node:
    """Another user of the machine whose daemon is root's."""
    site.open()
    os.chmod(site.root, 0o711)
    os.chmod(site.path("truth"), 0o777)
    node = site.add_node("b")
    node.environ["RESPOOL_SOCKET"] = site.node.socket
    for at, folders, files in [*os.walk(site.path("home-b")), *os.walk(node.work)]:
        for name in [".", *folders, *files]:
            os.chown(os.path.join(at, name), STRANGER, STRANGER)
    return node


def train(node: Node, run_id: str, **options: object) -> Life:
    environ = dict(options.pop("environ", {}))  # type: ignore[call-overload]
    wrapper = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--"]
    node.wrapper = wrapper
    return node.rows(id=run_id, environ=environ | {"RESPOOL_LAUNCH_ID": run_id}, **options)


def kept(node: Node) -> dict[str, list[str]]:
    """The names in each attempt's folder in the stranger's own spool."""
    spool = os.path.join(node.work, "respool", "spool")
    return {name: os.listdir(os.path.join(spool, name)) for name in os.listdir(spool)}


def ended(site: Site, run_id: str, state: str, rows: int) -> None:
    """Wait until the hub has so many rows of a run, and its end."""

    def there() -> bool:
        run = site.view.find(PROJECT, run_id)
        return run is not None and run["state"] == state and run["rows"] >= rows

    until(there, f"{rows} rows of {run_id}, {state}", 60, site.words)


def test_what_was_kept_without_a_daemon_goes_to_the_system_daemon_with_the_next_run(
    site: Site, stranger: Node
) -> None:
    finished = train(stranger, "finished", steps=50, environ=ALONE)
    killed = train(stranger, "killed", steps=10**6, pace=0.001, environ=ALONE).reach(300)
    assert finished.process.wait() == 0
    alive = train(stranger, "alive", steps=10**6, pace=0.01, environ=ALONE).reach(10)
    killed.process.kill()
    folder = finished.begun()["attempt_id"], killed.begun()["attempt_id"], alive.begun()["attempt_id"]

    first = train(stranger, "first", steps=5)
    assert first.process.wait() == 0
    ended(site, "first", "finished", 5)
    for turn in range(9):
        if site.view.find(PROJECT, "finished") and site.view.find(PROJECT, "killed"):
            break
        # A run hands over for a third of a second; on a busy machine that is too short for all.
        assert train(stranger, f"next-{turn}", steps=5).process.wait() == 0
    ended(site, "finished", "finished", 50)
    ended(site, "killed", "crashed", killed.last_step + 1)
    assert account(site.view, PROJECT, "finished", [finished]).kept == 50
    account(site.view, PROJECT, "killed", [killed])
    assert site.view.find(PROJECT, "alive") is None
    assert set(kept(stranger)) >= set(folder[1:])

    second = train(stranger, "second", steps=5)
    assert second.process.wait() == 0
    left = kept(stranger)
    assert set(left) == set(folder[1:])
    assert "handed-over" in left[folder[1]]
    assert "handed-over" not in left[folder[2]]
    assert first.begun()["init_seconds"] < 10
    alive.process.kill()


def test_a_daemon_killed_while_it_copies_gets_it_again_and_nothing_is_doubled(
    site: Site, stranger: Node
) -> None:
    life = train(stranger, "killed", steps=8000, pad=4000, environ=ALONE)
    assert life.process.wait(120) == 0
    for turn in range(3):
        begun = train(stranger, f"turn-{turn}", steps=2)
        begun.begun()
        site.node.daemon.kill()
        site.node.daemon.start()
        begun.process.wait()
    last = train(stranger, "last", steps=2)
    assert last.process.wait() == 0
    ended(site, "killed", "finished", 8000)
    assert account(site.view, PROJECT, "killed", [life]).kept == 8000


def test_sync_without_a_key_hands_over_to_the_daemon_and_waits(site: Site, stranger: Node) -> None:
    lives = [train(stranger, f"run-{n}", steps=200, environ=ALONE) for n in range(3)]
    assert [life.process.wait(60) for life in lives] == [0, 0, 0]
    done = stranger.call("sync", os.path.join("respool", "spool"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "At the hub: 3 attempts. On their way: 0." in done.stdout
    assert kept(stranger) == {}
    for n, life in enumerate(lives):
        assert account(site.view, PROJECT, f"run-{n}", [life]).kept == 200


def test_sync_of_somebody_elses_spool_names_the_owner(site: Site, stranger: Node) -> None:
    site.node.daemon.kill()
    folder = site.path("theirs")
    site.node.rows(id="other", steps=5, environ=ALONE | {"RESPOOL_SPOOL_DIR": folder}).process.wait()
    for at, folders, _ in os.walk(folder):
        for name in [".", *folders]:
            os.chmod(os.path.join(at, name), 0o755)
    stranger.wrapper = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "--"]
    done = stranger.call("sync", folder)
    assert done.returncode == 2
    assert f"belongs to uid 0, you are uid {STRANGER}." in done.stderr
