"""A SLURM of one's own: munge, slurmctld and a slurmd for each node, all on this machine, in one folder, on free ports.

    with Cluster(site, {"a1": 0, "a2": 20}) as cluster:
        job = cluster.submit("train", "a1", "srun python train.py")

Each node has two partitions: NODE, whose jobs are preempted and requeued with the node's grace time, and NODE-high,
whose jobs take the node away from them. A job finds the respool daemon by the first letter of its node's name. There
is nothing of SLURM's in /etc that is read or written, and nothing runs any more when the block has ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from e2e.processes import Process, until
from e2e.sites import Site

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
PACKAGES = "munge slurmctld slurmd slurm-client"
KILL_WAIT = 5
ASK_SECONDS = 0.25
REQUEUE_EXIT = 99
CONFIGURATION = """
ClusterName=mini
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/slurmd-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
TaskProlog={root}/prolog
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
RequeueExit={requeue_exit}
KillWait={kill_wait}
ReturnToService=2
SlurmdTimeout=10
MessageTimeout=10
"""
NODE = """
NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 Weight={weight} State=UNKNOWN
PartitionName={name} Nodes={name}{more} State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName={name}-high Nodes={name} State=UP PriorityTier=10 PreemptMode=OFF
"""
PROLOG = """#!/bin/sh
echo "export RESPOOL_SOCKET={root}/$(printf %.1s "$SLURMD_NODENAME").sock"
"""


def cannot() -> str | None:
    """Why no SLURM can be started here; None when one can."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        return f"{', '.join(missing)} missing: apt-get install {PACKAGES}"
    if os.geteuid() != 0:
        return "only root may start a slurmd"
    return None


class Cluster:
    """`nodes`: the grace time of each, in seconds. `spare`: a node's partition reaches this other node, too, which is
    taken only when the first is not to be had. Entering raises Late where SLURM's own programs do not come up.
    """

    def __init__(self, site: Site, nodes: Mapping[str, int], spare: Mapping[str, str] | None = None) -> None:
        self.site = site
        self.root = site.path("slurm")
        self.conf = os.path.join(self.root, "slurm.conf")
        os.makedirs(os.path.join(self.root, "state"))
        with ExitStack() as stack:
            controller, *ports = [_free_port(stack) for _ in range(len(nodes) + 1)]
        text = [self._configuration(controller)]
        for (name, grace), port in zip(nodes.items(), ports, strict=True):
            more = f",{spare[name]}" if spare and name in spare else ""
            weight = 10 if spare and name in spare.values() else 1
            text.append(
                NODE.format(name=name, host=_host(), port=port, grace=grace, more=more, weight=weight)
            )
        self._write("slurm.conf", "".join(text), 0o644)
        self._write("prolog", PROLOG.format(root=site.root), 0o755)
        self._write("munge.key", os.urandom(64).hex(), 0o600)
        self.slurmd = {name: self._process(f"slurmd-{name}", "slurmd", "-D", "-N", name) for name in nodes}
        self._controller = self._process("slurmctld", "slurmctld", "-D")
        self._munge = self._process("munged", "munged", *self._munge_flags(), conf=False)

    def __enter__(self) -> Self:
        self._munge.launch()
        until(lambda: os.path.exists(os.path.join(self.root, "munge.sock")), "munge", 20, self._munge.words)
        self._controller.launch()
        until(lambda: "UP" in self.ask("scontrol", "ping"), "slurmctld", 20, self._controller.words)
        for one in self.slurmd.values():
            one.launch()
        until(
            lambda: self.ask("sinfo", "-h", "-N", "-o", "%t").split().count("idle") >= len(self.slurmd),
            "all nodes idle",
            30,
            self.words,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self.slurmd.values(), self._controller, self._munge):
            process.kill()
        # What a slurmd starts is nobody's child any more, and carries our configuration's name.
        until(lambda: not [_kill(pid) for pid in self._ours("")], "the end of all steps and jobs", 20)

    def ask(self, *argv: str) -> str:
        """What a command of SLURM's prints; nothing when it fails."""
        environ = {**os.environ, "SLURM_CONF": self.conf, "SLURM_TIME_FORMAT": "%s"}
        done = subprocess.run(
            argv, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
        )
        return done.stdout if done.returncode == 0 else ""

    def submit(
        self, name: str, partition: str, *lines: str, flags: tuple[str, ...] = (), **environ: str
    ) -> Job:
        """A batch script of these lines, on all of a node's processors, as the first node's user."""
        script = "\n".join(["#!/bin/bash", *lines, ""])
        log = self.site.path("log", f"job-{name}-%a.log")
        words = [f"--job-name={name}", f"--partition={partition}", "--cpus-per-task=2", "--requeue"]
        words += [f"--output={log}", "--open-mode=append", "--parsable", *flags]
        done = subprocess.run(
            ["sbatch", *words],
            env={**self.site.node.environ, **environ, "SLURM_CONF": self.conf},
            cwd=self.site.node.work,
            input=script,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return Job(self, done.stdout.strip(), log)

    def fail(self, node: str) -> None:
        """The node is gone for the controller: no slurmd, and no slurmstepd. What ran there lives on."""
        self.slurmd[node].kill()
        for pid in self._ours(f"SLURMD_NODENAME={node}"):
            parent = _parent(pid)
            if _name(parent).startswith("slurmstepd"):
                _kill(parent)

    def words(self) -> str:
        """For a failure's text."""
        return "\n".join([self.ask("sinfo"), self.ask("squeue"), self._controller.words(), self.site.words()])

    def _ours(self, variable: str) -> list[int]:
        """Processes whose environment names our configuration, and has `variable` besides."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read().split(b"\0")
                if f"SLURM_CONF={self.conf}".encode() in environ and (
                    not variable or variable.encode() in environ
                ):
                    found.append(int(pid))
        return found

    def _process(self, name: str, program: str, *flags: str, conf: bool = True) -> Process:
        path = shutil.which(program)
        assert path is not None
        words = [path, *flags, *(["-f", self.conf] if conf else [])]
        return self.site.process(name, words, {"PATH": os.environ["PATH"], "SLURM_CONF": self.conf})

    def _configuration(self, port: int) -> str:
        return CONFIGURATION.format(
            host=_host(),
            port=port,
            user="root",
            root=self.root,
            kill_wait=KILL_WAIT,
            requeue_exit=REQUEUE_EXIT,
        )

    def _munge_flags(self) -> list[str]:
        places = {"socket": "munge.sock", "key-file": "munge.key", "pid-file": "munge.pid"}
        places |= {"log-file": "munge.log", "seed-file": "munge.seed"}
        found = [f"--{flag}={os.path.join(self.root, name)}" for flag, name in places.items()]
        return ["--foreground", "--force", *found]

    def _write(self, name: str, text: str, mode: int) -> None:
        path = os.path.join(self.root, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, mode), "w", encoding="ascii") as file:
            file.write(text)


class Job:
    """A job, or one task of an array (`12_3`)."""

    def __init__(self, cluster: Cluster, name: str, log: str) -> None:
        self.name = name
        self._cluster = cluster
        self._log = log

    def task(self, index: int) -> Job:
        return Job(self._cluster, f"{self.name}_{index}", self._log.replace("%a", str(index)))

    def field(self, name: str) -> str:
        """What `scontrol show job` says."""
        line = self._cluster.ask("scontrol", "-o", "show", "job", self.name)
        return next((word.partition("=")[2] for word in line.split() if word.startswith(f"{name}=")), "")

    def await_state(self, *states: str, seconds: float = 60.0) -> str:
        """The first of these that it is in."""
        return until(
            lambda: (found := self.field("JobState")) in states and found,
            f"job {self.name} {states}",
            seconds,
            self.words,
            ASK_SECONDS,
        )

    def requeued(self, restarts: int = 1, seconds: float = 90.0) -> None:
        """Wait until it was requeued so often."""
        until(lambda: self.field("Restarts") == str(restarts), f"requeue of {self.name}", seconds, self.words)

    def start_now(self) -> None:
        """A requeued job waits for two minutes, unless it is told not to, which it forgets while it still ends."""

        def started() -> bool:
            self._cluster.ask("scontrol", "update", f"jobid={self.name}", "StartTime=now")
            return self.field("JobState") not in {"PENDING", "COMPLETING", "REQUEUED"}

        until(started, f"start of {self.name}", 60, self.words, 2 * ASK_SECONDS)

    @property
    def alive(self) -> bool:
        """For who waits for a note of it: it may be requeued for as long as he waits."""
        return True

    def words(self) -> str:
        said = ""
        with (
            suppress(OSError),
            open(self._log.replace("%a", "4294967294"), encoding="utf-8", errors="replace") as file,
        ):
            said = file.read()[-2000:]
        shown = self._cluster.ask("scontrol", "-o", "show", "job", self.name)
        return f"{shown}\njob {self.name} said:\n{said}\n{self._cluster.words()}"


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _free_port(stack: ExitStack) -> int:
    channel = stack.enter_context(socket.socket())
    channel.bind(("127.0.0.1", 0))
    return int(channel.getsockname()[1])


def _kill(pid: int) -> int:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return pid


def _parent(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])
    return 0


def _name(pid: int) -> str:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().decode("utf-8", "replace")
    return ""
