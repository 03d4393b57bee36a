"""Under a real systemd: activation, death, hang, restart, several users; and no row is lost, no log() fails.

    pytest -m slow tests/e2e/systemd

Boots systemd in an overlay of this machine's files (root, systemd-container); nothing of it remains.
"""

from __future__ import annotations

import re
import signal
from functools import partial
from typing import Any

import pytest

from e2e.processes import until
from e2e.systemd.conftest import Timing
from e2e.systemd.service import DAEMON, HUB, PROJECT, RESPOOL, SOCKET, VENV, Service
from e2e.truths import Life, account

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ada(service: Service) -> int:
    return service.user(2001)


@pytest.fixture(scope="module")
def bob(service: Service) -> int:
    return service.user(2002)


def ends_well(service: Service, life: Life) -> None:
    """The trainer was told of no trouble, and every row of its is at the hub."""
    service.relieve()
    assert life.process.wait(60) == 0, life.process.words()
    assert life.facts is not None
    service.arrived(life)
    account(service.view, PROJECT, life.facts["run_id"], [life])
    said = life.process.lines()
    assert any(" · daemon " in line for line in said), said
    assert not any("warning" in line.lower() for line in said), said


def kept(service: Service, uid: int, life: Life) -> list[dict[str, Any]]:
    """What the daemon says of a run to its owner."""
    assert life.facts is not None
    runs = service.status(uid, bad=True)["runs"]
    return [run for run in runs if run["run_id"] == life.facts["run_id"]]


def crashed(service: Service, run_id: str) -> bool:
    return service.view.state(PROJECT, run_id) == "crashed"


def sent(service: Service, uid: int) -> bool:
    return not service.status(uid)["pending_records"]


def test_the_first_connection_starts_a_daemon_that_never_ran(
    service: Service, ada: int, timing: Timing
) -> None:
    machine = service.machine
    assert machine.show(DAEMON, "ActiveEnterTimestampMonotonic") == "0"
    assert machine.call("stat", "--format=%a %U", SOCKET, "/run/respool") == "666 root\n755 root\n"
    with timing("a trainer's start with no daemon yet"):
        life = service.train(ada, steps=200)
        life.begun()
    assert life.facts is not None
    assert life.facts["number"] == 1, "the hub was asked"
    assert service.serving()
    ends_well(service, life)
    ready = f"respoold ready at {SOCKET} (spool in /var/lib/respool, hub {service.hub_url})"
    assert ready in machine.journal(DAEMON)
    assert service.status(ada)["socket"] == SOCKET


def test_the_installed_package_is_the_wheels(service: Service) -> None:
    where = service.machine.call(
        f"{VENV}/bin/python", "-c", "import respool, respoold; print(respoold.__file__)"
    )
    assert where.startswith(VENV)


def test_the_hardening_is_in_force(service: Service) -> None:
    status = service.machine.call("cat", f"/proc/{service.pid()}/status")
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {name: found[name].strip() for name in ("Seccomp", "NoNewPrivs", "CapEff", "CapBnd")} == {
        "Seccomp": "2",
        "NoNewPrivs": "1",
        "CapEff": "0" * 16,
        "CapBnd": "0" * 16,
    }
    assert found["Uid"].split()[0] != "0"
    fields = service.machine.call("cat", f"/proc/{service.pid()}/stat").rpartition(")")[2].split()
    assert fields[16] == "5", "the nice value"
    rated = service.machine.call("systemd-analyze", "security", "--no-pager", DAEMON)
    level = re.search(r"exposure level for \S+: ([0-9.]+)", rated)
    assert level, rated
    assert float(level[1]) < 2.0


def test_a_daemon_that_is_killed_under_load_is_back_and_no_row_is_missing(
    service: Service, ada: int, timing: Timing
) -> None:
    life = service.load(ada)
    restarts = int(service.machine.show(DAEMON, "NRestarts"))
    for kill in range(5):
        before, step = service.pid(), life.last_step
        with timing(f"SIGKILL {kill + 1} until it serves again"):
            service.signal(signal.SIGKILL)
            service.replaced(before)
        assert life.last_step > step, "the trainer waited"
        assert [(run["alive"], run["state"]) for run in kept(service, ada, life)] == [(True, "running")]
        life.reach(life.last_step + 100)
    ends_well(service, life)
    assert int(service.machine.show(DAEMON, "NRestarts")) == restarts + 5
    assert service.machine.show("respoold.socket", "Result") == "success"


def test_a_new_process_waits_at_the_socket_while_the_daemon_is_being_started(
    service: Service, ada: int, timing: Timing
) -> None:
    before = service.pid()
    service.signal(signal.SIGKILL)
    with timing("a trainer's start while the daemon is down"):
        life = service.train(ada, steps=50)
        life.begun()
    service.replaced(before)
    assert life.facts is not None
    assert life.facts["number"] == 1
    ends_well(service, life)


def test_a_daemon_that_is_stopped_by_sigstop_is_replaced_by_the_watchdog(
    service: Service, ada: int, timing: Timing
) -> None:
    life = service.load(ada)
    before = service.pid()
    with timing("SIGSTOP until another daemon serves (WatchdogSec=3s)"):
        service.signal(signal.SIGSTOP)
        step = life.last_step
        life.reach(step + 500)
        service.replaced(before)
    assert "Watchdog timeout" in service.machine.call(
        "journalctl", "--no-pager", "--output=cat", "--unit", DAEMON
    )
    ends_well(service, life)


def test_restarts_under_load_fail_no_log_and_lose_no_row(service: Service, ada: int, timing: Timing) -> None:
    life = service.load(ada)
    for restart in range(3):
        before = service.pid()
        with timing(f"systemctl restart {restart + 1}"):
            service.machine.call("systemctl", "restart", DAEMON)
        assert service.pid() != before
        life.reach(life.last_step + 100)
    ends_well(service, life)


def test_two_users_of_one_daemon_see_their_own_runs_only(service: Service, ada: int, bob: int) -> None:
    lives = {uid: service.load(uid) for uid in (ada, bob)}
    names = {uid: life.facts["run_id"] for uid, life in lives.items() if life.facts}
    for uid in (ada, bob):
        live = [run["run_id"] for run in service.status(uid)["runs"] if run["alive"]]
        assert live == [names[uid]]
    for life in lives.values():
        assert life.facts is not None
        service.machine.signal(life.facts["pid"], signal.SIGKILL)
    for uid, life in lives.items():
        until(partial(crashed, service, names[uid]), "crashed at the hub", 30)
        until(partial(sent, service, uid), "everything sent", 30)
        account(service.view, PROJECT, names[uid], [life])


def test_no_user_can_read_the_spool_neither_anothers_nor_his_own(
    service: Service, ada: int, bob: int
) -> None:
    life = service.load(ada)
    machine = service.machine
    found = machine.call("find", "/var/lib/private/respool/v1/u2001/", "-type", "f").split()
    segments = [path for path in found if path.endswith(".seg")]
    assert segments
    for uid in (ada, bob):
        for path in (segments[0], "/var/lib/respool/v1", "/var/lib/private/respool"):
            assert machine.run("cat", path, uid=uid).returncode != 0
            assert "Permission denied" in machine.run("ls", "-l", path, uid=uid).stderr
    assert life.facts is not None
    descriptors = f"/proc/{life.facts['pid']}/fd"
    assert "respool" in machine.call("ls", "-l", descriptors, uid=ada), "the owner holds it open"
    assert machine.run("ls", "-l", descriptors, uid=bob).returncode != 0
    assert machine.run("cat", "/etc/respool/hub-key", uid=bob).returncode != 0
    machine.signal(life.facts["pid"], signal.SIGKILL)


def test_what_two_users_kept_without_the_daemon_it_takes_from_their_hands(
    service: Service, ada: int, bob: int
) -> None:
    """It sees no home: one user's next process passes it the open files, the other's `respool sync` does."""
    kept_alone = {uid: service.train(uid, {"RESPOOL_MODE": "spool"}, steps=300) for uid in (ada, bob)}
    for uid, life in kept_alone.items():
        assert life.process.wait(60) == 0, life.process.words()
        spool = f"/home/u{uid}/respool/spool"
        assert service.machine.call("stat", "--format=%U %a", spool, uid=uid) == f"u{uid} 700\n"
        assert life.facts is not None
        assert service.view.show(PROJECT, life.facts["run_id"]) is None
    ends_well(service, service.train(ada, steps=5))
    for uid in (ada, bob):
        life = kept_alone[uid]
        service.arrived(life)
        assert life.facts is not None
        account(service.view, PROJECT, life.facts["run_id"], [life])
        if uid == ada:
            assert service.view.show(PROJECT, str((kept_alone[bob].facts or {})["run_id"])) is None
            service.machine.call(RESPOOL, "sync", uid=bob)


def test_a_stopped_daemon_leaves_the_socket_and_is_started_by_the_next_process(
    service: Service, bob: int
) -> None:
    service.machine.call("systemctl", "stop", DAEMON)
    assert service.machine.show(DAEMON, "Result") == "success"
    assert service.machine.call("stat", "--format=%U", SOCKET) == "root\n"
    life = service.train(bob, steps=20)
    ends_well(service, life)
    assert service.serving()


def test_a_hub_that_is_killed_or_hangs_is_back_and_misses_nothing(
    service: Service, ada: int, timing: Timing
) -> None:
    life = service.load(ada)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        before = service.pid(HUB)
        with timing(f"{number.name} of the hub until it serves again"):
            service.signal(number, HUB)
            service.replaced(before, HUB)
    ends_well(service, life)


def test_without_a_key_everything_is_kept_and_status_says_what_is_missing(service: Service, bob: int) -> None:
    machine = service.machine
    machine.call("mv", "/etc/respool/hub-key", "/etc/respool/hub-key.away")
    machine.call("systemctl", "restart", DAEMON)
    life = service.train(bob, steps=30)
    assert life.process.wait() == 0, life.process.words()
    (run,) = kept(service, bob, life)
    assert run["pending_records"] >= 30
    assert "respool login" in str(run["advice"]) or "key" in str(run["why"])
    machine.call("mv", "/etc/respool/hub-key.away", "/etc/respool/hub-key")
    machine.call("systemctl", "restart", DAEMON)
    ends_well(service, life)


def test_a_users_own_daemon_is_started_by_his_own_socket(service: Service, bob: int, timing: Timing) -> None:
    machine = service.machine
    bus = {"XDG_RUNTIME_DIR": f"/run/user/{bob}", "HOME": f"/home/u{bob}"}
    machine.call("loginctl", "enable-linger", f"u{bob}")
    until(
        lambda: machine.run("test", "-S", f"/run/user/{bob}/systemd/private").returncode == 0,
        "his systemd",
        20,
    )
    said = machine.call(RESPOOL, "install-units", "--user", uid=bob, environ=bus)
    assert "systemctl --user enable --now respoold.socket respoold.service" in said
    folder = f"/home/u{bob}/.config/respool"
    machine.call("sh", "-c", f"echo {service.key} | {RESPOOL} login {service.hub_url}", uid=bob, environ=bus)
    machine.call(
        "sh", "-c", f"echo 'hub = \"{service.hub_url}\"' > {folder}/respoold.toml", uid=bob, environ=bus
    )
    machine.call("systemctl", "--user", "daemon-reload", uid=bob, environ=bus)
    machine.call("systemctl", "--user", "enable", "--now", "respoold.socket", uid=bob, environ=bus)
    named = {"RESPOOL_SOCKET": f"/run/user/{bob}/respool/respoold.sock"}
    with timing("a trainer's start with no user daemon yet"):
        life = service.load(bob, bus | named)
    own = machine.call(
        "systemctl", "--user", "show", "--property=MainPID", "--value", DAEMON, uid=bob, environ=bus
    )
    machine.signal(int(own), signal.SIGKILL)
    ends_well(service, life)
    status = machine.call(RESPOOL, "status", "--json", uid=bob, environ=bus | named)
    assert f"/home/u{bob}/.local/state/respool" in status


@pytest.mark.parametrize("unit", [DAEMON, HUB])
def test_the_watchdog_killed_nobody_but_those_that_stood_still(service: Service, unit: str) -> None:
    journal = service.machine.journal(unit)
    stopped = [one for one in service.signals if one == (signal.SIGSTOP, unit)]
    assert len(re.findall("Watchdog timeout", journal)) == len(stopped), journal[-3000:]
