"""A machine with a real systemd: nspawn on an overlay of this host's files, gone without a trace when the block ends.

    with Machine() as machine:
        machine.call("systemctl", "is-system-running")

It lives in namespaces of its own, for mounts and for processes, so that nothing has to be unmounted and nobody
survives, not even a SIGKILL of the tests. The network is the host's: a hub in there can be asked from out here.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from e2e.processes import Process, until

INIT = ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")
SYSTEM_PYTHONS = ("/usr", "/usr/local")
PYTHON = "/opt/python"
DEPENDENCIES = "/opt/dependencies"
SHARED = "/shared"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ALONE = ("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc")
NAMESPACES = ("--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd")
BOOT = """
set -e
for group in $CGROUPS; do echo 0 > "$group/cgroup.procs"; done
mount -t tmpfs -o size=4g,mode=755 respool "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
rm -rf etc/systemd/system/* etc/systemd/user/* etc/machine-id etc/fstab run/* var/log/journal
mkdir -p etc/respool
: > etc/machine-id
: > etc/fstab
cd /
shift
exec "$@"
"""


def cannot() -> str | None:
    """Why no machine can be booted here; None when one can."""
    missing = [tool for tool in ("systemd-nspawn", "nsenter", "unshare", "useradd") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} missing: apt-get install systemd systemd-container dbus libpam-systemd"
    if not any(os.path.exists(one) for one in INIT):
        return "systemd is not installed: apt-get install systemd"
    if os.geteuid() != 0:
        return "only root may mount and boot"
    return _mounts()


def _mounts() -> str | None:
    """Try the cgroups and the two mounts."""
    try:
        for group in _make_cgroups():
            os.rmdir(group)
    except OSError as error:
        return f"no cgroup can be made: {error}"
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        trial = [*ALONE, "sh", "-c", BOOT, "sh", folder, "true"]
        done = subprocess.run(trial, capture_output=True, text=True, timeout=60)
    return None if done.returncode == 0 else f"no overlay can be mounted: {done.stderr.strip()}"


class Machine:
    """One booted systemd. Commands run in it as root or as a user of its own."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="respool-machine-", dir="/var/tmp")
        self.shared = os.path.join(self.folder, "shared")
        self.processes: list[Process] = []
        self._leader = 0
        self._nspawn: Process | None = None
        self._cgroups: list[str] = []

    def __enter__(self) -> Self:
        try:
            return self._boot()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Off, hard: there is nothing in it that anybody wants."""
        for process in [*self.processes, *([self._nspawn] if self._nspawn else [])]:
            process.kill()
        if self._leader:
            until(lambda: not os.path.exists(f"/proc/{self._leader}"), "the end of the machine", 20)
        until(lambda: all(_removed(group) for group in self._cgroups), "the end of its cgroups", 20)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def python(self) -> str:
        """This very interpreter, where a service with ProtectHome= may see it."""
        prefix = sys.base_prefix if sys.base_prefix in SYSTEM_PYTHONS else PYTHON
        return f"{prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"

    def run(
        self, *words: str, uid: int = 0, environ: Mapping[str, str] | None = None, seconds: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """A command in the machine, to its end."""
        return subprocess.run(
            self.inside(*words, uid=uid),
            env=self.environ(uid) | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def call(self, *words: str, uid: int = 0, environ: Mapping[str, str] | None = None) -> str:
        """What a command printed, which must go well."""
        done = self.run(*words, uid=uid, environ=environ)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def process(self, name: str, *words: str, uid: int, environ: Mapping[str, str] | None = None) -> Process:
        """A command in the machine that goes on; killed with the machine at the latest."""
        log = os.path.join(self.shared, f"{name}.log")
        argv = self.inside(*words, uid=uid)
        made = Process(name, argv, self.environ(uid) | dict(environ or {}), log, "/")
        self.processes.append(made)
        return made

    def inside(self, *words: str, uid: int = 0) -> list[str]:
        enter = ["nsenter", f"--target={self._leader}", *NAMESPACES, f"--setuid={uid}", f"--setgid={uid}"]
        return [*enter, "--", *words]

    def environ(self, uid: int) -> dict[str, str]:
        home = "/root" if uid == 0 else f"/home/u{uid}"
        return {
            "PATH": PATH,
            "HOME": home,
            "LC_ALL": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "RESPOOL_FREE_FLOOR": "0",
        }

    def path(self, path: str) -> str:
        """A file of the machine, as it is reached from out here."""
        return f"/proc/{self._leader}/root{path}"

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(path), mode)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.call("systemctl", "show", "--property", name, "--value", unit).strip()

    def journal(self, unit: str) -> str:
        return self.call("journalctl", "--unit", unit, "--no-pager", "--output=cat")

    def _boot(self) -> Self:
        os.mkdir(self.shared)
        os.chmod(self.shared, 0o1777)
        root = os.path.join(self.folder, "root")
        os.mkdir(root)
        self._cgroups = _make_cgroups()
        argv = [*ALONE, "sh", "-c", BOOT, "sh", root, *self._nspawn_words(root)]
        environ = {**os.environ, "CGROUPS": " ".join(self._cgroups)}
        self._nspawn = Process("nspawn", argv, environ, os.path.join(self.folder, "console.log"), "/")
        self._nspawn.launch()
        self._leader = until(self._find_leader, "systemd in the machine", 30, self._nspawn.words)
        until(self._up, "the end of booting", 60, self._nspawn.words)
        if PYTHON in self.python:
            self.write("/etc/ld.so.conf.d/respool-test.conf", f"{PYTHON}/lib\n")
            self.call("ldconfig")
        return self

    def _nspawn_words(self, root: str) -> list[str]:
        name = f"respool-test-{os.getpid()}"
        words = ["systemd-nspawn", f"--directory={root}/root", "--boot", "--register=no"]
        words += ["--keep-unit"] * bool(self._cgroups)
        words += [f"--machine={name}", f"--hostname={name}", "--console=pipe", "--link-journal=no"]
        words += [
            f"--bind={self.shared}:{SHARED}",
            f"--bind-ro={_library()}:{DEPENDENCIES}",
        ]
        if sys.base_prefix not in SYSTEM_PYTHONS:
            words.append(f"--bind-ro={sys.base_prefix}:{PYTHON}")
        return [*words, "systemd.show_status=no"]

    def _find_leader(self) -> int | None:
        """PID 1 of the machine: nspawn's child that has become systemd. nspawn has short-lived other children."""
        assert self._nspawn is not None
        assert self._nspawn.alive, self._nspawn.words()
        below = [child for nspawn in _children(self._nspawn.pid) for child in _children(nspawn)]
        return next((child for child in below if _is_init(child)), None)

    def _up(self) -> bool:
        return self.run("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Signal a process, by the pid that it has in the machine."""
        self.call("kill", f"-{number.value}", str(pid))


def _library() -> str:
    """Where the packages lie that these tests run with: a .pth may lead to another folder than the interpreter's."""
    spec = importlib.util.find_spec("pip")
    assert spec is not None
    assert spec.origin is not None, "pip is needed to install the wheel"
    return os.path.dirname(os.path.dirname(spec.origin))


def _make_cgroups() -> list[str]:
    """A cgroup for the machine alone in each hierarchy that systemd uses: two machines in one would take each
    other's processes for their own. None where a systemd runs outside, which gives it one.
    """
    if os.path.isdir("/run/systemd/system"):
        return []
    with open("/proc/self/cgroup", encoding="ascii") as file:
        mine = {names: path for _, names, path in (line.rstrip("\n").split(":", 2) for line in file)}
    unified = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
    mounts = {"name=systemd": "/sys/fs/cgroup/systemd", "": unified}
    name = f"respool-test-{os.getpid()}-{time.monotonic_ns()}"
    made = [os.path.join(mount + mine[key], name) for key, mount in mounts.items() if key in mine]
    for group in made:
        os.mkdir(group)
    return made


def _removed(group: str) -> bool:
    """Remove a cgroup and those below it; False while somebody is still dying in there."""
    try:
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return True


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(one) for one in file.read().split()]
    except FileNotFoundError:
        return []


def _is_init(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    except OSError:
        return False
    return status.get("Name") == "systemd" and status.get("NSpid", "").split()[-1:] == ["1"]
