"""respool on a booted machine, installed as an administrator would: a venv, install-units, a key, enable."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.hub_view import HubView
from e2e.processes import until
from e2e.sites import TRAINERS
from e2e.systemd.machine import DEPENDENCIES, SHARED, Machine
from e2e.truths import Life

ROOT = Path(__file__).parents[3]
VENV = "/opt/respool"
RESPOOL = f"{VENV}/bin/respool"
SOCKET = "/run/respool/respoold.sock"
PROJECT = "units"
DAEMON, HUB = "respoold.service", "respool-hub.service"
UNTIL_TOLD = "until_told.py"
QUICK = "[Service]\nWatchdogSec=3s\nEnvironment=RESPOOL_LASTING=1\n"


class Service:
    """Hub and daemon as units of one machine. The hub is asked from out here."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.hub_url = f"http://127.0.0.1:{_free_port()}"
        self.lives = 0
        self.signals: list[tuple[signal.Signals, str]] = []

    def install(self, wheel: str) -> None:
        """The package, in a venv where a service may see it. Its dependencies are those of the tests."""
        machine = self.machine
        machine.call(machine.python, "-m", "venv", "--without-pip", VENV)
        library = machine.call(
            f"{VENV}/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
        )
        machine.write(f"{library.strip()}/dependencies.pth", f"{DEPENDENCIES}\n")
        shutil.copy(wheel, machine.shared)
        words = [
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--force-reinstall",
            "--root-user-action=ignore",
        ]
        machine.call(f"{VENV}/bin/python", "-m", "pip", *words, f"{SHARED}/{os.path.basename(wheel)}")
        shutil.copytree(TRAINERS, os.path.join(machine.shared, "trainers"))
        shutil.copy(
            os.path.join(os.path.dirname(__file__), UNTIL_TOLD), os.path.join(machine.shared, "trainers")
        )

    def configure(self) -> None:
        """What `install-units` says comes next; watchdogs in seconds instead of half a minute, and a spool that counts
        as lasting, which in memory it is not.
        """
        machine = self.machine
        machine.call(RESPOOL, "install-units")
        for unit in (DAEMON, HUB):
            machine.write(f"/etc/systemd/system/{unit}.d/quick.conf", QUICK)
        machine.write("/etc/respool/hub.env", f"RESPOOL_HUB_LISTEN={self.hub_url.removeprefix('http://')}\n")
        machine.write("/etc/respool/respoold.toml", f'hub = "{self.hub_url}"\nfree_floor = 0\n')
        machine.call("systemctl", "daemon-reload")
        machine.call("systemctl", "enable", "--now", HUB)
        self.key = machine.call("cat", "/var/lib/respool-hub/admin-key").strip()
        words = ["key", "create", "--hub", self.hub_url, "--user", "node", "--name", "this machine"]
        machine.write(
            "/etc/respool/hub-key",
            machine.call(RESPOOL, *words, environ={"RESPOOL_API_KEY": self.key}),
            0o600,
        )
        machine.call("systemctl", "enable", "--now", "respoold.socket")
        self.view = HubView(self.hub_url, self.key)

    def user(self, uid: int) -> int:
        """A person with a home of his own."""
        self.machine.call("useradd", "--create-home", "--uid", str(uid), f"u{uid}")
        return uid

    def train(
        self, uid: int, environ: Mapping[str, str] | None = None, script: str = "rows.py", **options: Any
    ) -> Life:
        """Start a trainer as a user; its run is named after its number."""
        self.lives += 1
        name = f"trainer-{self.lives}"
        given = {"project": PROJECT, "id": name, **options}
        flags = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
        argv = [f"{VENV}/bin/python", f"{SHARED}/trainers/{script}", f"--truth={SHARED}/{name}.truth", *flags]
        words = ["sh", "-c", 'cd "$HOME" && exec "$@"', "sh", *argv]
        process = self.machine.process(name, *words, uid=uid, environ=environ)
        return Life(process.launch(), os.path.join(self.machine.shared, f"{name}.truth"))

    def load(self, uid: int, environ: Mapping[str, str] | None = None) -> Life:
        """Start a trainer that logs a row a millisecond until `relieve`; it has begun when this returns."""
        until_file = f"{SHARED}/enough-{self.lives + 1}"
        return self.train(uid, environ, UNTIL_TOLD, until=until_file).reach(200)

    def relieve(self) -> None:
        """Trainers may finish: all that run until they are told."""
        for number in range(1, self.lives + 1):
            Path(self.machine.shared, f"enough-{number}").touch()

    def status(self, uid: int, *, bad: bool = False) -> dict[str, Any]:
        """`respool status --json` of a user; `bad` when it may find something to complain of."""
        done = self.machine.run(RESPOOL, "status", "--json", uid=uid)
        assert done.returncode == 0 or (bad and done.returncode == 1), done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    def pid(self, unit: str = DAEMON) -> int:
        return int(self.machine.show(unit, "MainPID"))

    def signal(self, number: signal.Signals, unit: str = DAEMON) -> None:
        """To the one process of a unit: `systemctl kill` complains when it is gone before all is told."""
        self.signals.append((number, unit))
        self.machine.signal(self.pid(unit), number)

    def serving(self, unit: str = DAEMON) -> bool:
        return self.machine.show(unit, "SubState") == "running"

    def replaced(self, before: int, unit: str = DAEMON, seconds: float = 30.0) -> int:
        """Wait for another process to serve than the one that was."""

        def found() -> int | None:
            pid = self.pid(unit)
            return pid if pid not in {0, before} and self.serving(unit) else None

        return until(found, f"another {unit}", seconds, lambda: self.machine.journal(unit)[-3000:])

    def arrived(self, life: Life, seconds: float = 60.0) -> dict[str, Any]:
        """The run at the hub once the trainer's last record is there."""
        assert life.facts is not None
        run_id = life.facts["run_id"]

        def ready() -> dict[str, Any] | None:
            run = self.view.show(PROJECT, run_id)
            whole = run is not None and run["state"] == "finished" and run["rows"] >= len(life.noted)
            return run if whole else None

        return until(ready, f"{run_id} at the hub", seconds, lambda: self.machine.journal(DAEMON)[-3000:])


def build_wheel(folder: str) -> str:
    """The wheel of this clone."""
    own = [] if _missing("hatchling") else ["--no-build-isolation"]
    words = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        *own,
        "--wheel-dir",
        folder,
        str(ROOT),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(next(Path(folder).glob("*.whl")))


def _missing(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is None


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
