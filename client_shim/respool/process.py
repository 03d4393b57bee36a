"""Which process this is, and whether another one still lives: boot id, pid and start time together."""

from __future__ import annotations

import os
import sys

from respool.wire.identity import Process

_ARRAY_VARIABLES = (
    "SLURM_ARRAY_TASK_ID",
    "PBS_ARRAY_INDEX",
    "PBS_ARRAYID",
    "LSB_JOBINDEX",
    "SGE_TASK_ID",
    "AWS_BATCH_JOB_ARRAY_INDEX",
    "JOB_COMPLETION_INDEX",
)


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
    """The script that runs, as an absolute path; `-c` or empty where there is none."""
    name = sys.argv[0] if sys.argv else ""
    return os.path.realpath(name) if name not in {"", "-c", "-m"} else name


def array_index() -> str:
    """This task's index in its scheduler's job array, or an empty string."""
    for name in _ARRAY_VARIABLES:
        value = os.environ.get(name, "")
        if value not in {"", "undefined"} and (name, value) != ("LSB_JOBINDEX", "0"):
            return value
    return ""


def boot_id() -> str:
    """This boot of this machine; empty where the kernel does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None for one that is gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])
