"""A daemon for a user who has none: init() starts one where nothing speaks against it.

Against it speak: who said no (RESPOOL_AUTOSTART=0) or where the daemon is (RESPOOL_SOCKET), an administrator's
set-up, a batch job or a container, in which nothing outlives the job, and that no hub is known to send to.
RESPOOL_AUTOSTART=1 overrules all of that but a missing installation.

The daemon is nobody's child and has its own session, so that neither the trainer's end nor the terminal's ends
it. It goes when it is idle and everything is sent. Of several trainers that start at once one starts it, the
others wait for its socket; should two be started, the lock of the spool decides.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from respool import notices
from respool.environment import read
from respool.own_daemons import state_folder
from respool.schedulers import jobs_of

START_SECONDS = 3.0
IDLE_SECONDS = 60
_POLL_SECONDS = 0.02
_NEEDED = ("respoold", "trio", "httpx", "watchdog")
_CONTAINERS = ("docker", "containerd", "kubepods", "libpod", "crio", "lxc", "garden")
_KEPT = frozenset(
    {
        "RESPOOL_HUB_URL",
        "RESPOOL_API_KEY",
        "RESPOOL_ROWS_QUOTA",
        "RESPOOL_BLOBS_QUOTA",
        "RESPOOL_FREE_FLOOR",
        "RESPOOL_IDLE_EXIT",
        "RESPOOL_UPLOAD_LIMIT",
    }
)
"""What is the daemon's own: of the rest, RESPOOL_SPOOL_DIR above all means something else there."""
_OURS = ("RESPOOL_", "WANDB_", "NOTIFY_", "LISTEN_", "WATCHDOG_")
_DETACH = 'umask 077; "$@" </dev/null >>"$0" 2>&1 & echo $!'


class Surroundings(NamedTuple):
    """Where signs are looked for that speak against a daemon."""

    environ: Mapping[str, str]
    system_config: str = "/etc/respool"
    system_socket: str = "/run/respool/respoold.sock"
    container_files: tuple[str, ...] = ("/.dockerenv", "/run/.containerenv")
    cgroup: str = "/proc/self/cgroup"
    booted: str = "/run/systemd/system"


def refusal(around: Surroundings) -> str | None:
    """What speaks against starting a daemon here, or None."""
    wanted = read(around.environ).autostart
    if wanted is False:
        return "RESPOOL_AUTOSTART=0"
    if not sys.platform.startswith("linux"):
        return f"the daemon needs Linux, this is {sys.platform}"
    against = None if wanted else _against(around)
    return against or not_installed()


def start(path: str, around: Surroundings, seconds: float = START_SECONDS) -> bool:
    """Start a daemon that listens at `path`, unless another process is doing so, and wait for it. Says whether
    it answers; one that takes longer than `seconds` goes on starting, and finds later what was kept meanwhile.
    """
    log = os.path.join(state_folder(around.environ), "log", f"daemon-{os.uname().nodename}.log")
    try:
        os.makedirs(os.path.dirname(log), mode=0o700, exist_ok=True)
        with _turn(f"{log}.lock") as mine:
            pid = _launch(path, log, around.environ) if mine and not _answers(path) else 0
            if _wait(path, pid, time.monotonic() + seconds):
                if pid:
                    notices.line(
                        f"started a daemon (process {pid}, log {log}): it sends what runs on this machine keep and "
                        "ends when idle. RESPOOL_AUTOSTART=0 prevents it."
                    )
                return True
    except OSError as error:
        notices.line(f"no daemon could be started: {error}.")
        return False
    notices.line(f"the daemon is not ready within {seconds:.0f} s; going on without it. Its log is {log}.")
    return False


def _against(around: Surroundings) -> str | None:
    environ = around.environ
    if environ.get("RESPOOL_SOCKET", "").strip():
        return f"RESPOOL_SOCKET={environ['RESPOOL_SOCKET']} names the daemon to use"
    for path in (around.system_config, around.system_socket):
        if os.path.lexists(path):
            return f"{path}: the administrator decides about daemons here"
    job = next((one for one in jobs_of(environ) if one.scheduler != "torchelastic"), None)
    if job is not None:
        return f"{job.identity}: a batch job, whose end would kill it"
    inside = container(around)
    if inside is not None:
        return f"{inside}: a container, whose end would kill it"
    if not hub_known(environ):
        return "no hub is known to send to; `respool login URL` changes that"
    return None


def container(around: Surroundings) -> str | None:
    """What says that this is a container, or None. One that booted a systemd (LXC, nspawn) is a machine: it goes on
    when a job in it has ended.
    """
    if os.path.isdir(around.booted):
        return None
    for name in ("container", "KUBERNETES_SERVICE_HOST"):
        if around.environ.get(name):
            return f"{name}={around.environ[name]}"
    found = next((path for path in around.container_files if os.path.exists(path)), None)
    if found is not None:
        return found
    try:
        with open(around.cgroup, encoding="utf-8", errors="replace") as file:
            groups = file.read(65536)
    except OSError:
        return None
    sign = next((name for name in _CONTAINERS if name in groups), None)
    return None if sign is None else f"{around.cgroup} names {sign}"


def hub_known(environ: Mapping[str, str]) -> bool:
    """Whether a daemon or `respool sync` would know where to send to."""
    config = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    names = ("credentials.toml", "respoold.toml", "respool.toml")
    files = (os.path.join(config, "respool", name) for name in names)
    return bool(environ.get("RESPOOL_HUB_URL")) or any(os.path.exists(path) for path in files)


def not_installed() -> str | None:
    """What the daemon and `respool sync` need and is not there, with how to get it; or None."""
    from importlib.util import find_spec  # noqa: PLC0415 - nobody else needs it

    missing = [name for name in _NEEDED if find_spec(name) is None]
    return f"{missing[0]} is not installed; pip install 'respool[daemon]'" if missing else None


@contextmanager
def _turn(path: str) -> Iterator[bool]:
    """Whether it is this process's turn to start one: nobody else on this machine is doing so."""
    import fcntl  # noqa: PLC0415 - not everywhere, and only needed here

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        mine = True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mine = False
        except OSError:  # a file system without locks: the daemons sort it out
            pass
        yield mine
    finally:
        os.close(fd)


def _launch(path: str, log: str, environ: Mapping[str, str]) -> int:
    """Start it in a session of its own, by a shell that ends at once: so it is no child of the trainer, whose
    os.wait() it could answer. Its pid. Raises OSError.
    """
    import subprocess  # noqa: PLC0415 - 10 ms that an init() with a daemon need not pay

    argv = [sys.executable, "-P", "-m", "respool", "daemon", "--socket", path]
    kept = {name: value for name, value in environ.items() if name in _KEPT or not name.startswith(_OURS)}
    kept.setdefault("RESPOOL_IDLE_EXIT", str(IDLE_SECONDS))
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and words
            ["/bin/sh", "-c", _DETACH, log, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=kept,
            cwd="/",
            start_new_session=True,
            check=True,
            timeout=START_SECONDS,
        )
        return int(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise OSError(f"{argv[0]}: {error}") from error


def _wait(path: str, pid: int, deadline: float) -> bool:
    """Until somebody answers at `path`. A daemon of ours that ended may have met another one, which does."""
    while not _answers(path):
        ended = pid and not os.path.exists(f"/proc/{pid}")
        if ended or time.monotonic() >= deadline:
            return _answers(path)
        time.sleep(_POLL_SECONDS)
    return True


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (OSError, ValueError):
            return False
    return True
