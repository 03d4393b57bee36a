"""What can be wrong around a trainer, each made on a stand of its own: `begin()` is the good time before, `strike()`
brings the fault, `relieve()` lets the stand be cleared away. What may be waited for under it is stated here too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from typing import ClassVar

from bench.stand import Process, Stand, until
from respool.attaching import GREETING_SECONDS
from respool.ending import SYNC_SECONDS
from respool.saving import OWN_SECONDS
from respool.wire.limits import HANDSHAKE_SECONDS

DISK = "48m"
PAD = 2000
SMALL_DISK = 'mount -t tmpfs -o "size=$1,mode=0700" respool "$2" && shift 2 && exec "$@"'
BACK = 'cd "$1" && shift && exec "$@"'


class Fault:
    """A stand with a hub and a daemon; a subclass says what becomes of them. `waits`: the seconds of each call that it
    may wait for somebody who does not answer; `again` is the init() of a second trainer.
    """

    name: ClassVar[str]
    waits: ClassVar[dict[str, float]] = {}
    pad: ClassVar[int] = 0
    calls: ClassVar[int] = 5_000

    def __init__(self, stand: Stand) -> None:
        self.stand = stand

    @classmethod
    def possible(cls) -> bool:
        """Whether it can be made here."""
        return True

    def begin(self) -> None:
        self.hub = self.stand.hub()
        self.daemon = self.stand.daemon(self.stand.hub_url)

    def strike(self) -> None:
        """Nothing, here."""

    def relieve(self) -> None:
        """Undo what would keep a process from ending."""

    def patient(self, run: str = "run") -> Process:
        """A trainer, ready."""
        env = {"RESPOOL_SOCKET": self.stand.socket(), "RESPOOL_RUN_ID": run, "RESPOOL_PROJECT": "bench"}
        process = self.stand.start(["-m", "bench.patient"], "patient", **env)
        process.line()
        return process


class Healthy(Fault):
    """For comparison."""

    name = "nothing wrong"


class HubDead(Fault):
    """Connections are refused."""

    name = "hub dead"

    def strike(self) -> None:
        self.hub.signal(signal.SIGKILL)


class HubHangs(Fault):
    """SIGSTOP: the kernel takes every connection and request for it, and nobody answers."""

    name = "hub accepts and hangs"
    waits: ClassVar = {"init": HANDSHAKE_SECONDS}

    def strike(self) -> None:
        self.hub.signal(signal.SIGSTOP)

    def relieve(self) -> None:
        self.hub.signal(signal.SIGCONT)


class DaemonStopped(Fault):
    """SIGSTOP: its socket takes connections, its segments are open, and it does nothing."""

    name = "daemon stopped"
    waits: ClassVar = {
        "init": GREETING_SECONDS,
        "again": GREETING_SECONDS,
        "save": OWN_SECONDS,
        "finish": SYNC_SECONDS,
    }

    def strike(self) -> None:
        self.daemon.signal(signal.SIGSTOP)

    def relieve(self) -> None:
        self.daemon.signal(signal.SIGCONT)


class DaemonKilled(Fault):
    """SIGKILL, and nobody starts another."""

    name = "daemon killed"

    def strike(self) -> None:
        self.daemon.signal(signal.SIGKILL)
        self.stand.stop(self.daemon)


class QuotaFull(Fault):
    """The user's room for rows is used up, and the hub is away: nothing is sent that would make room."""

    name = "quota full"
    pad = PAD
    calls = 8_000

    def begin(self) -> None:
        self.daemon = self.stand.daemon(f"unix:{self.stand.folder}/nobody.sock", RESPOOL_ROWS_QUOTA="16M")

    def strike(self) -> None:
        """Another run of the same user takes what there is: maybe not even a first segment."""
        eater = self.patient("eater")
        if eater.ask(do="init")["daemon"]:
            until(30, lambda: bool(eater.ask(do="log", calls=500, pad=PAD)["lost"]))
        self.stand.stop(eater)


class DiskFull(Fault):
    """Not a byte is free on the spool's disk, which is small and seen by the daemon and the trainer only."""

    name = "disk full"
    pad = PAD
    calls = 8_000

    def begin(self) -> None:
        self.stand.hub()
        os.makedirs(self.stand.spool(), mode=0o700)
        words = ["sh", "-c", SMALL_DISK, "sh", DISK, self.stand.spool()]
        self.stand.wrapper = ["unshare", "--mount", "--propagation=private", *words]
        self.daemon = self.stand.daemon(f"unix:{self.stand.folder}/nobody.sock")
        # Entering a mount namespace is leaving the working directory.
        inside = ["nsenter", f"--target={self.daemon.pid}", "--mount"]
        self.stand.wrapper = [*inside, "sh", "-c", BACK, "sh", self.stand.folder]

    def strike(self) -> None:
        path = f"/proc/{self.daemon.pid}/root{self.stand.spool()}/other"
        with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass

    @classmethod
    def possible(cls) -> bool:
        """Whether this user may mount one."""
        tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "mount"))
        trial = ["unshare", "--mount", "--propagation=private", "mount", "-t", "tmpfs", "respool", "/mnt"]
        return tools and subprocess.run(trial, capture_output=True, check=False).returncode == 0


ALL: tuple[type[Fault], ...] = (
    Healthy,
    HubDead,
    HubHangs,
    DaemonStopped,
    DaemonKilled,
    QuotaFull,
    DiskFull,
)
