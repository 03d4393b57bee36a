"""The demo's stage: one temporary folder with everything in it, and processes that cannot outlive it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from respoold.cli.children import POLL_SECONDS, Child
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.demo import truth
from respoold.cli.errors import CommandError, Exit
from respoold.cli.household import MAX_SOCKET, Household, Layout, own_environment
from respoold.cli.hub import Hub, checked
from respoold.cli.places import Places

GRACE_SECONDS = 5.0
Watch = Callable[[truth.Logged | None], None]
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train.py")
_LAUNCHERS = ("SLURM_", "TORCHELASTIC_", "PBS_", "LSB_", "SGE_", "JOB_")
_ONE_CORE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


class Stage:
    """Hub, daemon and trainers in `folder`. `truths` are the files in which each trainer notes what it logged."""

    def __init__(self, folder: str, steps: int, every: int, watch: Watch) -> None:
        self.folder = folder
        self.steps = steps
        self.every = every
        self.watch = watch
        self.environ = _environment(os.environ, folder)
        self.places = Places(self.environ, folder, os.geteuid(), system_socket="", system_config="")
        self.household = Household(_layout(folder, self.places), self.environ)
        self.truths: list[str] = []
        self.trainers: list[Child] = []

    def open_hub(self) -> None:
        """Start the hub and wire a key."""
        self.household.start_hub()
        self.household.wire_key("demo", "respool demo")

    @property
    def hub(self) -> Child:
        return self.household.hub

    @property
    def daemon(self) -> Child:
        if self.household.daemon is None:
            raise CommandError(Exit.UNREACHABLE, "The demo's daemon was not started yet.")
        return self.household.daemon

    @property
    def trainer(self) -> Child:
        return self.trainers[-1]

    def start_trainer(self) -> Child:
        """Start the script, the first time or again: always the same command line but for the file of truths."""
        number = len(self.trainers) + 1
        self.truths.append(os.path.join(self.folder, f"truth-{number}.jsonl"))
        words = ["--steps", str(self.steps), "--every", str(self.every), "--truth", self.truths[-1]]
        argv = [sys.executable, "-P", SCRIPT, *words]
        environ = own_environment(self.environ) | self.trainer_variables()
        log = os.path.join(self.folder, "log", f"trainer-{number}.log")
        child = Child("trainer", argv, environ, log, os.path.join(self.folder, "work"))
        self.trainers.append(child)
        child.start()
        return child

    def trainer_variables(self) -> dict[str, str]:
        """What a site's administrator would set once for all users."""
        return {"RESPOOL_SOCKET": self.household.layout.socket, "RESPOOL_HUB_URL": self.household.url}

    def wait_step(self, step: int, seconds: float) -> truth.Logged:
        """Until the present trainer has logged this step."""

        def reached() -> truth.Logged | None:
            row = truth.last(self.truths[-1])
            self.watch(row)
            self.check()
            if row is not None and row.step >= step:
                return row
            if not self.trainer.alive:
                raise self.trainer.failure(self.trainer.end() + f" before step {step}")
            return None

        row: truth.Logged = wait(reached, seconds, f"step {step} of the training")
        return row

    def check(self) -> None:
        """Raises CommandError when one of the servers is gone without having been killed by the play."""
        for child in (self.hub, self.household.daemon):
            if child is not None and child.wanted and not child.alive:
                raise child.failure(f"{child.end()}, which is no part of the play")

    def status(self) -> dict[str, Any] | None:
        """What the daemon says, or None while there is none."""
        try:
            with open_daemon(self.places) as link:
                return link.status()
        except NoDaemonError:
            return None

    def hub_client(self) -> Hub:
        """The hub with the demo's key; the caller closes it."""
        return Hub(checked(self.household.url, "the demo"), self.household.wire_key("demo", "respool demo"))

    def close(self) -> None:
        """Nothing runs any more when this returns. Orderly where that is quick."""
        for trainer in self.trainers:
            trainer.kill()
        self.household.stop(GRACE_SECONDS)


def wait(ready: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first answer of `ready` that is not None. Raises CommandError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ready()
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            cause = f"The demo waited {seconds:.0f} s for {what} in vain."
            raise CommandError(Exit.BAD, cause, "Run it with --keep DIR and look into DIR/log.")
        time.sleep(POLL_SECONDS)


@contextmanager
def open_stage(keep: str | None, steps: int, every: int, watch: Watch) -> Iterator[Stage]:
    """A stage that is empty of processes, and gone unless kept, when the block ends, however it ends."""
    folder = os.path.abspath(keep) if keep else _short_temporary()
    if keep and os.path.exists(folder) and os.listdir(folder):
        raise CommandError(Exit.USAGE, f"The folder {keep} is not empty.", "Name a new one with --keep DIR.")
    for name in ("log", "work"):
        os.makedirs(os.path.join(folder, name), mode=0o700, exist_ok=True)
    before = signal.signal(signal.SIGTERM, _interrupt)
    stage = Stage(folder, steps, every, watch)
    try:
        yield stage
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stage.close()
        if not keep:
            shutil.rmtree(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _short_temporary() -> str:
    """A new folder under TMPDIR, or under /tmp where a socket's name would be too long there."""
    folder = tempfile.mkdtemp(prefix="respool-demo-")
    if len(os.fsencode(_socket(folder))) <= MAX_SOCKET:
        return folder
    os.rmdir(folder)
    return tempfile.mkdtemp(prefix="respool-demo-", dir="/tmp")


def _socket(folder: str) -> str:
    return os.path.join(folder, "respoold.sock")


def _layout(folder: str, places: Places) -> Layout:
    return Layout(
        data=os.path.join(folder, "hub"),
        listen=f"unix:{folder}/hub.sock",
        spool=os.path.join(folder, "spool"),
        socket=_socket(folder),
        logs=os.path.join(folder, "log"),
        credentials=places.credentials,
    )


def _environment(environ: Mapping[str, str], folder: str) -> dict[str, str]:
    """The user's environment with every folder moved inside, and without a scheduler's identity."""
    kept = {
        name: value for name, value in own_environment(environ).items() if not name.startswith(_LAUNCHERS)
    }
    inside = {
        name: os.path.join(folder, at)
        for name, at in (
            ("HOME", "."),
            ("TMPDIR", "work"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_RUNTIME_DIR", "runtime"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_DATA_HOME", "data"),
        )
    }
    return {**kept, **inside, "RESPOOL_SOCKET": _socket(folder), **dict.fromkeys(_ONE_CORE, "1")}
