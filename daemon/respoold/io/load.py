"""Looking at the machine: /proc, and nvidia-smi where there is one. Blocking: for a thread."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress

from respoold.core.load import Gpu, Look, Running

GPU_SECONDS = 5.0
GPU_FAILURES = 3
"""After so many in a row nvidia-smi is left alone: a driver that hangs is not made better by asking."""
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SECTOR = 512
_GPU = ("index", "utilization", "memory", "memory_total", "power", "temperature")
_QUERY = "uuid,index,utilization.gpu,memory.used,memory.total,power.draw,temperature.gpu"
_MIB = 1 << 20


class Eyes:
    """Keeps what one look learns for the next. `proc` is there to be another folder."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._smi = shutil.which("nvidia-smi")
        self._failures = 0

    def look(self) -> Look:
        """The machine now. What cannot be read is missing."""
        return Look(time.monotonic(), self._running(), self._counters(), self._memory(), self._gpus())

    def _running(self) -> dict[int, Running]:
        found: dict[int, Running] = {}
        for name in os.listdir(self._proc):
            if name.isdigit():
                stat = self._text(name, "stat")
                # The command's name is in brackets and may hold anything, brackets and blanks too.
                fields = stat.rpartition(")")[2].split()
                if len(fields) > 21 and fields[0] != "Z":
                    cpu = (int(fields[11]) + int(fields[12])) / _TICK
                    rss = int(fields[21]) * _PAGE
                    found[int(name)] = Running(int(name), int(fields[1]), int(fields[19]), cpu, rss)
        return found

    def _counters(self) -> dict[str, float]:
        found: dict[str, float] = {}
        cores = self._text("stat").partition("\n")[0].split()[1:9]
        if len(cores) == 8:
            ticks = [int(one) for one in cores]
            found["cpu_all"] = sum(ticks) / _TICK
            found["cpu_busy"] = found["cpu_all"] - (ticks[3] + ticks[4]) / _TICK
        self._disks(found)
        self._net(found)
        return found

    def _disks(self, found: dict[str, float]) -> None:
        disks = [line.split() for line in self._text("diskstats").splitlines()]
        # Whole disks only: a partition's bytes, a volume's and a loop's are those of its disk as well.
        whole = [disk for disk in disks if len(disk) > 9 and os.path.exists(f"/sys/block/{disk[2]}/device")]
        if whole:
            found["disk_read"] = float(sum(int(disk[5]) for disk in whole) * _SECTOR)
            found["disk_write"] = float(sum(int(disk[9]) for disk in whole) * _SECTOR)

    def _net(self, found: dict[str, float]) -> None:
        for line in self._text("net", "dev").splitlines()[2:]:
            name, _, rest = line.partition(":")
            fields = rest.split()
            if name.strip() != "lo" and len(fields) > 8:
                found["net_in"] = found.get("net_in", 0.0) + int(fields[0])
                found["net_out"] = found.get("net_out", 0.0) + int(fields[8])

    def _memory(self) -> tuple[int, int] | None:
        lines = (line.split() for line in self._text("meminfo").splitlines())
        sizes = {words[0]: int(words[1]) << 10 for words in lines if len(words) > 1 and words[1].isdigit()}
        total, free = sizes.get("MemTotal:"), sizes.get("MemAvailable:")
        return None if total is None or free is None else (total - free, total)

    def _gpus(self) -> tuple[Gpu, ...]:
        if self._smi is None or self._failures >= GPU_FAILURES:
            return ()
        try:
            rows = self._ask(f"--query-gpu={_QUERY}")
            users = self._ask("--query-compute-apps=gpu_uuid,pid,used_memory")
        except (OSError, subprocess.SubprocessError):
            self._failures += 1
            return ()
        self._failures = 0
        return tuple(_gpu(row, users) for row in rows if len(row) == len(_GPU) + 1)

    def _ask(self, query: str) -> list[list[str]]:
        words = [str(self._smi), query, "--format=csv,noheader,nounits"]
        done = subprocess.run(  # noqa: S603 - fixed words
            words, capture_output=True, timeout=GPU_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        return [[field.strip() for field in line.split(",")] for line in lines]

    def _text(self, *path: str) -> str:
        with (
            suppress(OSError),
            open(os.path.join(self._proc, *path), encoding="utf-8", errors="replace") as file,
        ):
            return file.read()
        return ""


def _gpu(row: list[str], users: list[list[str]]) -> Gpu:
    uuid, *values = row
    facts: dict[str, float] = {}
    for name, text in zip(_GPU, values, strict=True):
        with suppress(ValueError):  # "[N/A]": this card does not tell
            facts[name] = float(text) * (_MIB if name.startswith("memory") else 1)
    held: dict[int, int] = {}
    for user in users:
        if len(user) == 3 and user[0] == uuid and user[1].isdigit():
            with suppress(ValueError):
                held[int(user[1])] = held.get(int(user[1]), 0) + int(float(user[2]) * _MIB)
    return Gpu(uuid, facts, held)
