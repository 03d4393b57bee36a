"""Which process this is, and whether another one still lives: boot id, pid and start time together."""

from __future__ import annotations

import os
import sys

from respool.wire.identity import Process


def this_process() -> Process:
    """This process; boot id and start time are empty where the system does not tell them."""
    return Process(boot_id(), os.getpid(), start_time(os.getpid()) or 0)


def alive(process: Process) -> bool:
    """Whether exactly that process runs here now. One of another boot or another host does not."""
    if process.boot_id != boot_id() or process.pid <= 0:
        return False
    if process.start_time:
        return start_time(process.pid) == process.start_time
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def program() -> str:
    """What runs: the script's absolute path, `-m` and the module's name, or `-c` or empty where there is none.
    A Python file that was itself submitted runs as a copy whose path changes with the job: there the job's name
    and folder stand for it.
    """
    name = sys.argv[0] if sys.argv else ""
    if name in {"", "-c", "-m"}:
        return name
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and os.path.realpath(spec.origin or "") == os.path.realpath(name):
        return f"-m {spec.name.removesuffix('.__main__')}"
    if os.path.basename(name) == "slurm_script" and "SLURM_JOB_ID" in os.environ:
        return f"slurm {os.environ.get('SLURM_JOB_NAME', '')} {os.environ.get('SLURM_SUBMIT_DIR', '')}"
    return os.path.realpath(name)


def boot_id() -> str:
    """This boot of this machine; empty where the kernel does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_time(pid: int, *, zombie: bool = False) -> int | None:
    """When a process began, in clock ticks since boot; None for one that is gone, or a zombie unless `zombie`."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} and not zombie else int(fields[19])


def parent_of(pid: int) -> int:
    """The parent of a process; 0 for one that has none, or is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def environ_of(pid: int) -> frozenset[bytes]:
    """What a process was started with, as b"NAME=value"; empty where that may not be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return frozenset(file.read().split(b"\0"))
    except OSError:
        return frozenset()
