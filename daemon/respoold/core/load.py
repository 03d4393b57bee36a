"""Load: what a job's processes and its machine did between two looks, as the fields of a SYSTEM record.

    cpu                 percent of one core, over the job's processes; 800 is eight busy cores
    rss                 bytes resident, over the job's processes
    processes           how many they are
    node_cpu            percent of all cores of the machine
    node_memory         bytes in use there; node_memory_total: of so many
    disk_read, disk_write, net_in, net_out    bytes a second of the whole machine
    gpus                [{index, utilization (percent), memory, memory_total (bytes), power (watts),
                        temperature (degrees), job_memory (bytes)}], the job's where that can be told, else all

What could not be read is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple


class Running(NamedTuple):
    """A process: `began` tells it from another with its pid. `cpu` in seconds since then, `rss` in bytes."""

    pid: int
    parent: int
    began: int
    cpu: float
    rss: int


class Gpu(NamedTuple):
    """A GPU as its driver shows it: `facts` as in a record, `users` bytes held by process."""

    uuid: str
    facts: dict[str, float]
    users: Mapping[int, int]


class Look(NamedTuple):
    """The machine at one moment, `at` seconds of a steady clock. `counters` only grow: busy and all seconds of
    its cores, bytes of disks and network.
    """

    at: float
    running: Mapping[int, Running]
    counters: Mapping[str, float]
    memory: tuple[int, int] | None
    gpus: tuple[Gpu, ...] = ()


def family(running: Mapping[int, Running], roots: Iterable[int]) -> set[int]:
    """These processes and their descendants."""
    children: dict[int, list[int]] = {}
    for one in running.values():
        children.setdefault(one.parent, []).append(one.pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in running]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def sample(before: Look, after: Look, roots: Collection[int]) -> dict[str, Any]:
    """The record of a job whose first processes are `roots`."""
    seconds = max(after.at - before.at, 1e-3)
    pids = family(after.running, roots)
    found: dict[str, Any] = {
        "cpu": round(100 * sum(_cpu(before, after, pid) for pid in pids) / seconds, 1),
        "rss": sum(after.running[pid].rss for pid in pids),
        "processes": len(pids),
    }
    grown = {name: _grown(before, after, name) for name in after.counters}
    if grown.get("cpu_all"):
        found["node_cpu"] = round(100 * min(1.0, grown.get("cpu_busy", 0.0) / grown["cpu_all"]), 1)
    for name in ("disk_read", "disk_write", "net_in", "net_out"):
        if name in grown:
            found[name] = round(grown[name] / seconds)
    if after.memory is not None:
        found["node_memory"], found["node_memory_total"] = after.memory
    gpus = _gpus(after.gpus, pids)
    return {**found, "gpus": gpus} if gpus else found


def _cpu(before: Look, after: Look, pid: int) -> float:
    now, then = after.running[pid], before.running.get(pid)
    known = then is not None and then.began == now.began
    return max(0.0, now.cpu - (then.cpu if then is not None and known else 0.0))


def _grown(before: Look, after: Look, name: str) -> float:
    return max(0.0, after.counters[name] - before.counters.get(name, after.counters[name]))


def _gpus(gpus: tuple[Gpu, ...], pids: set[int]) -> list[dict[str, float]]:
    """The job's GPUs. In a container the driver names pids that nobody here has: then all of them."""
    mine = [gpu for gpu in gpus if pids.intersection(gpu.users)]
    found = []
    for gpu in mine or gpus:
        held = sum(size for pid, size in gpu.users.items() if pid in pids)
        found.append({**gpu.facts, **({"job_memory": held} if held else {})})
    return found
