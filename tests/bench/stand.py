"""The stand that benchmarks are run on: a folder of its own, a hub, daemons and subjects as real processes.

Nothing leaves the machine: the hub listens on a Unix socket. Whatever was started here is stopped when the
`with` block ends, each process by its own handle, and the folder is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

START_SECONDS = 30.0
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_FOREIGN = ("RESPOOL_", "WANDB_", "XDG_", "SLURM_", "TORCHELASTIC_", "PYTHONDONTWRITEBYTECODE")


class Process:
    """A child with lines in and out. `ready` waits for a line of it."""

    def __init__(self, args: list[str], env: dict[str, str], log: str, **options: Any) -> None:
        self._log = log
        with open(log, "ab") as errors:
            self._child = subprocess.Popen(
                args, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, **options
            )
        self.pid = self._child.pid

    def tell(self, **command: Any) -> None:
        """Send a command; its answer is fetched by `answer`."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(command).encode() + b"\n")
        self._child.stdin.flush()

    def line(self, seconds: float = START_SECONDS) -> str:
        """The next line. Raises RuntimeError with the end of its log when there is none in time."""
        assert self._child.stdout is not None
        ready, _, _ = select.select([self._child.stdout], [], [], seconds)
        text = self._child.stdout.readline().decode() if ready else ""
        if not text:
            with open(self._log, encoding="utf-8", errors="replace") as log:
                raise RuntimeError(f"{self._child.args} said nothing; its log ends:\n{log.read()[-2000:]}")
        return text

    def answer(self, seconds: float = 300.0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.line(seconds))
        return found

    def ask(self, **command: Any) -> dict[str, Any]:
        self.tell(**command)
        return self.answer()

    def signal(self, number: int) -> None:
        self._child.send_signal(number)

    def cpu(self) -> float:
        """Seconds of CPU it has used, all its threads together."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss(self) -> float:
        """Resident MiB."""
        with open(f"/proc/{self.pid}/statm", encoding="utf-8") as statm:
            return int(statm.read().split()[1]) * _PAGE / (1 << 20)

    def stop(self) -> None:
        """SIGTERM and end of input, then SIGKILL for who does not hear."""
        for stream in (self._child.stdin, self._child.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        if self._child.poll() is None:
            self._child.terminate()
        try:
            self._child.wait(15)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Stand:
    """A folder, its environment, and the processes started on it."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="respool-bench-")
        self.hub_url = f"unix:{self.folder}/hub.sock"
        self.wrapper: list[str] = []
        self._started: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._started):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def key(self) -> str:
        """The hub's admin key."""
        with open(os.path.join(self.folder, "hub", "admin-key"), encoding="utf-8") as file:
            return file.read().strip()

    def socket(self, name: str = "daemon") -> str:
        return os.path.join(self.folder, f"{name}.run", "s")

    def spool(self, name: str = "daemon") -> str:
        return os.path.join(self.folder, f"{name}.spool")

    def environment(self, **more: str) -> dict[str, str]:
        """That of a user who has nothing but this stand."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        kept |= {"RESPOOL_LASTING": "1", "RESPOOL_FREE_FLOOR": "0"}
        paths = [TESTS, *kept.get("PYTHONPATH", "").split(os.pathsep)]
        home = {"HOME": self.folder, "XDG_STATE_HOME": f"{self.folder}/state", "TMPDIR": self.folder}
        return {**kept, **home, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}

    def start(self, args: list[str], log: str, **env: str) -> Process:
        """A Python process: `args` follow the interpreter, which follows `wrapper`. `log` names its standard error."""
        path = os.path.join(self.folder, f"{log}.log")
        process = Process(
            [*self.wrapper, sys.executable, *args], self.environment(**env), path, cwd=self.folder
        )
        self._started.append(process)
        return process

    def stop(self, process: Process) -> None:
        self._started.remove(process)
        process.stop()

    def hub(self) -> Process:
        """A hub, ready."""
        data = os.path.join(self.folder, "hub")
        process = self.start(["-m", "respool", "hub", "--data", data, "--listen", self.hub_url], "hub")
        process.line()
        return process

    def daemon(self, hub: str | None = None, name: str = "daemon", **env: str) -> Process:
        """A daemon, ready. Without `hub` it only keeps; a hub that is not there is away."""
        args = ["-m", "respool", "daemon", "--spool", self.spool(name), "--socket", self.socket(name)]
        if hub is not None:
            args += ["--hub", hub]
            env.setdefault(
                "RESPOOL_API_KEY", self.key if os.path.exists(f"{self.folder}/hub") else "rsp_none"
            )
        process = self.start(args, name, **env)
        process.line()
        return process

    def subject(self, kind: str, daemon: str = "daemon", run: str = "run") -> Process:
        """A trainer of `bench.subject`, logging by way of `kind`, ready for commands."""
        env = {"RESPOOL_SOCKET": self.socket(daemon), "RESPOOL_RUN_ID": run, "RESPOOL_PROJECT": "bench"}
        process = self.start(["-m", "bench.subject", kind], f"{kind}-{run}", **env)
        process.line()
        return process


def until(seconds: float, ready: Callable[[], bool], pause: float = 0.05) -> float:
    """Poll until `ready()`; the seconds it took. Raises TimeoutError."""
    begin = time.perf_counter()
    while not ready():
        if time.perf_counter() - begin > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(pause)
    return time.perf_counter() - begin


def has_wandb() -> bool:
    """Whether the peer can be measured; says how to get it when not."""
    import importlib.metadata

    try:
        importlib.metadata.version("wandb")
    except importlib.metadata.PackageNotFoundError:
        print("The W&B part is left out: pip install wandb==0.31.0")
        return False
    return True
