"""A site: one hub and some nodes (a home, a spool, a daemon, trainers each), all real, all in one folder.

    with Site() as site:
        site.hub.start()
        site.node.daemon.start()
        trainer = site.node.rows(steps=100)

Nothing runs any more, and nothing lies about, when the block has ended.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any, Self

from e2e.hub_view import HubView
from e2e.processes import Process, until
from e2e.truths import Life
from respool.wire.connection import Connection, Role
from respool.wire.messages import VERSIONS, Hello, StatusRequest

TRAINERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trainers")
PROJECT, RUN = "e2e", "run-1"
_KEPT = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "RESPOOL_FREE_FLOOR")
_SHORT = 60


class Site:
    """Owns the folder and everything that was started in it. `hub_url` is where the hub itself listens; daemons
    may be sent elsewhere (a proxy).
    """

    def __init__(self, listen: str = "") -> None:
        self.root = _short_folder()
        self.processes: list[Process] = []
        self.nodes: list[Node] = []
        for name in ("log", "truth"):
            os.makedirs(self.path(name))
        self.hub_url = listen or f"unix:{self.path('hub.sock')}"
        address = self.hub_url.removeprefix("http://")
        words = ["hub", "--data", self.path("hub"), "--listen", address]
        self.hub = self.process(
            "hub", respool(*words), self.environ("hub-home"), ready="respool hub ready at "
        )
        self._view: HubView | None = None
        self.node = self.add_node("a")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
        left = left_running(self.root)
        fallen = "\n".join(filter(None, (process.traceback() for process in self.processes)))
        if self._view is not None:
            self._view.close()
        if error is None or not os.environ.get("RESPOOL_E2E_KEEP"):
            shutil.rmtree(self.root, ignore_errors=True)
        else:
            print(f"kept: {self.root}", file=sys.stderr)
        assert error is not None or not left, f"left running: {left}"
        assert error is not None or not fallen, fallen

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def process(self, name: str, argv: list[str], environ: dict[str, str], ready: str = "") -> Process:
        """A process of this site, not started yet."""
        made = Process(name, argv, environ, self.path("log", f"{name}.log"), self.root, ready)
        self.processes.append(made)
        return made

    def environ(self, home: str) -> dict[str, str]:
        """Nothing of whoever runs the tests but what makes Python run."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        places = {
            "HOME": "",
            "XDG_CONFIG_HOME": "config",
            "XDG_STATE_HOME": "state",
            "XDG_CACHE_HOME": "cache",
            "XDG_DATA_HOME": "data",
            "XDG_RUNTIME_DIR": "runtime",
            "TMPDIR": "tmp",
        }
        for name, below in places.items():
            kept[name] = self.path(home, below).rstrip("/")
            os.makedirs(kept[name], mode=0o700, exist_ok=True)
        return {**kept, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "RESPOOL_LASTING": "1"}

    def add_node(self, name: str) -> Node:
        node = Node(self, name)
        self.nodes.append(node)
        return node

    def key(self) -> str:
        """The admin key; the hub must have been started once."""
        with open(self.path("hub", "admin-key"), encoding="utf-8") as file:
            return file.readline().strip()

    def give_keys(self, url: str = "") -> None:
        """Every node may use the hub at `url`, which its daemon will then be sent to."""
        for node in self.nodes:
            node.login(url or self.hub_url, self.key())

    def open(self) -> Self:
        """Hub up, keys given, the first node's daemon up."""
        self.hub.start()
        self.give_keys()
        self.node.daemon.start()
        return self

    @property
    def view(self) -> HubView:
        """What the hub shows."""
        if self._view is None:
            self._view = HubView(self.hub_url, self.key())
        return self._view

    def words(self) -> str:
        """The last words of everybody, and what the daemons say is waiting."""
        said = [process.words() for process in self.processes if process.starts]
        waits = [f"node {node.name}: {json.dumps(node.status(), indent=1)}" for node in self.nodes]
        return "\n".join([*said, *waits])

    def drained(self, seconds: float = 60.0, project: str = PROJECT, run_id: str = RUN) -> dict[str, Any]:
        """The run as the hub shows it, once every attempt of it on every node is over and wholly there."""

        def ready() -> dict[str, Any] | None:
            for node in self.nodes:
                status = node.status() if node.daemon.alive else None
                if node.daemon.alive and (status is None or _waiting(status)):
                    return None
            return self.view.show(project, run_id)

        return until(ready, "everything at the hub", seconds, self.words)


class Node:
    """One machine, as far as one machine can play several: its own home, spool and daemon."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        self.spool = site.path(f"spool-{name}")
        self.socket = site.path(f"{name}.sock")
        self.work = site.path(f"work-{name}")
        os.makedirs(self.work)
        self.environ = site.environ(f"home-{name}") | {"RESPOOL_SOCKET": self.socket}
        words = ["daemon", "--spool", self.spool, "--socket", self.socket, "--hub", site.hub_url]
        self.daemon = site.process(
            f"daemon-{name}", respool(*words), self.environ, ready="respoold ready at "
        )
        self.lives: list[Life] = []
        self.wrapper: list[str] = []
        self.insecure = False

    def login(self, url: str, key: str) -> None:
        """What `respool login` leaves behind; the daemon goes to `url` from its next start on."""
        folder = os.path.join(self.environ["XDG_CONFIG_HOME"], "respool")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, "credentials.toml")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            told = f'api_key = "{key}"\ninsecure = {json.dumps(self.insecure)}\n'
            file.writelines(f'[hubs."{one}"]\n{told}' for one in {url, self.site.hub_url})
        self.daemon.argv[-1] = url

    def configure(self, **values: Any) -> None:
        """The daemon's respoold.toml, from its next start on."""
        folder = os.path.join(self.environ["XDG_CONFIG_HOME"], "respool")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(os.path.join(folder, "respoold.toml"), "w", encoding="utf-8") as file:
            file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in values.items())

    def rows(self, **options: Any) -> Life:
        """Start trainers/rows.py; see there. `environ` adds to its environment."""
        return self.train("rows.py", **options)

    def train(self, script: str, environ: dict[str, str] | None = None, **options: Any) -> Life:
        """Start a trainer, behind `wrapper`; options become its flags."""
        count = sum(len(node.lives) for node in self.site.nodes) + 1
        truth = self.site.path("truth", f"{count:04d}")
        given = {"project": PROJECT, "id": RUN, **options}
        flags = [f"--{key.replace('_', '-')}={value}" for key, value in given.items() if value is not None]
        argv = [*self.wrapper, sys.executable, os.path.join(TRAINERS, script), f"--truth={truth}", *flags]
        process = self.site.process(f"trainer-{count}", argv, self.environ | (environ or {}))
        process.cwd = self.work
        life = Life(process.launch(), truth)
        self.lives.append(life)
        return life

    def call(self, *words: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A `respool` command of this node's user, to its end."""
        return subprocess.run(
            [*self.wrapper, *respool(*words)],
            env=self.environ | {"RESPOOL_HUB_URL": self.site.hub_url},
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def status(self) -> dict[str, Any] | None:
        """What the daemon says of itself; None when nobody answers."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(5)
            try:
                channel.connect(self.socket)
                return _ask_status(channel)
            except OSError:
                return None


def respool(*words: str) -> list[str]:
    return [sys.executable, "-m", "respool", *words]


def left_running(folder: str) -> list[str]:
    """Processes whose command line names this folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if folder in words:
            found.append(f"{pid}: {words}")
    return found


def _ask_status(channel: Any) -> dict[str, Any] | None:
    wire = Connection(Role.CLIENT)
    channel.sendall(wire.send(Hello(list(VERSIONS), "e2e")))
    asked = False
    while True:
        data = channel.recv(1 << 16)
        if not data:
            return None
        wire.receive_data(data)
        for received in wire.events():
            if asked:
                return dict(received.message.status)
            channel.sendall(wire.send(StatusRequest(), request=1))
            asked = True


def _waiting(status: dict[str, Any]) -> bool:
    """Whether any attempt here is not over, or not wholly at the hub: complete ones are not listed."""
    return bool(status["runs"])


def _short_folder() -> str:
    """Unix sockets have names of 107 bytes at most."""
    made = tempfile.mkdtemp(prefix="rs-")
    if len(made) > _SHORT:
        os.rmdir(made)
        made = tempfile.mkdtemp(prefix="rs-", dir="/tmp")
    return os.path.realpath(made)
