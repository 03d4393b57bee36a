"""`respool run`: a job is watched, its preemption told before it hears of it, and its end told to the scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from respool.schedulers import jobs_of
from respool.wire.messages import Foretold, Left
from respoold.cli.job import FORWARDED, Job, fetch
from respoold.cli.screen import Screen

OUTLIVED_SECONDS = 30.0
LINGER_SECONDS = 300.0
_PREEMPTED = frozenset({"preempting", "preempted"})


class Speaks(Protocol):
    """Who tells the daemon, and knows what it makes of it; nothing where there is no daemon."""

    def judged(self, said: Foretold | Left) -> dict[str, str]: ...


class Wishes(NamedTuple):
    """`preempt_on`: signals that announce a preemption. `grace`: seconds after one until the job is killed, 0: never.
    `requeue_exit`: the exit code that makes the scheduler requeue; `requeue`: ask SLURM to.
    """

    preempt_on: frozenset[int]
    grace: float = 0.0
    requeue_exit: int | None = None
    requeue: bool = False


class End(NamedTuple):
    """How it ended. `signalled`: the signal that announced a preemption, 0: none did."""

    code: int
    signalled: int
    states: dict[str, str]

    @property
    def preempted(self) -> bool:
        """Whether it was preempted, and has more to do: it did not finish all of its runs."""
        told = self.signalled or not _PREEMPTED.isdisjoint(self.states.values())
        return bool(told) and not (self.states and set(self.states.values()) == {"finished"})

    @property
    def status(self) -> int:
        """What a shell would say: 128 + n for a signal; never 0 for a job that was preempted."""
        if self.code < 0:
            return 128 - self.code
        return self.code or (128 + (self.signalled or signal.SIGTERM) if self.preempted else 0)


class Runner:
    """One job. `requeue_job` asks the scheduler to start it again, and says whether it will."""

    def __init__(
        self,
        wishes: Wishes,
        daemon: Speaks,
        environ: Mapping[str, str],
        screen: Screen,
        requeue_job: Callable[[str], bool],
    ) -> None:
        self._wishes = wishes
        self._daemon = daemon
        self._environ = environ
        self._screen = screen
        self._requeue_job = requeue_job
        self._identity = next((one.identity for one in jobs_of(environ) if one.lasting), "")
        self._signalled = 0
        self._job: Job | None = None

    def run(self, argv: Sequence[str]) -> End:
        """Start it and wait for its end. Raises OSError where it cannot be started."""
        self._job = job = Job(argv, self._environ)
        code = job.wait(self._heard)
        if self._signalled:
            job.outlived(self._wishes.grace or OUTLIVED_SECONDS)
        # A signal is no exit status: what the daemon saw of it stands.
        states = self._daemon.judged(Left(job.pid, code if code >= 0 else None, self._identity))
        end = End(code, self._signalled, states)
        if code < 0:
            self._screen.note(f"respool run: the job was ended by {signal.Signals(-code).name}.")
        return end

    def leave(self, end: End) -> int:
        """The exit code that makes the scheduler do what is right; may wait for it to end us."""
        if not end.preempted:
            return end.status
        wishes, slurm = self._wishes, slurm_job(self._environ)
        if wishes.requeue and slurm and self._requeue_job(slurm):
            self._linger(f"job {slurm} was requeued")
        elif wishes.requeue_exit is None and slurm:
            # Whoever exits in the grace is COMPLETED or FAILED, and stays so: the scheduler requeues what it kills.
            self._linger("preempted; waiting for SLURM to end and requeue this job")
        return end.status if wishes.requeue_exit is None else wishes.requeue_exit

    def _heard(self, number: int) -> float | None:
        assert self._job is not None
        deadline = None
        if number in self._wishes.preempt_on:
            first, self._signalled = not self._signalled, number
            if first and self._wishes.grace:
                deadline = time.monotonic() + self._wishes.grace
            left = time.time() + self._wishes.grace if self._wishes.grace else 0.0
            if first:
                name = signal.Signals(number).name
                self._daemon.judged(Foretold(f"signal {name}", left, self._identity))
        self._job.signal(number)
        return deadline

    def _linger(self, why: str) -> None:
        self._screen.note(f"respool run: {why}.")
        deadline = time.monotonic() + LINGER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            fetch(left)


def slurm_job(environ: Mapping[str, str]) -> str:
    """The job as scontrol names it; empty outside SLURM."""
    array, task = environ.get("SLURM_ARRAY_JOB_ID", ""), environ.get("SLURM_ARRAY_TASK_ID", "")
    return f"{array}_{task}" if array and task else environ.get("SLURM_JOB_ID", "")


def scontrol_requeue(job: str) -> bool:
    """`scontrol requeue JOB`."""
    try:
        done = subprocess.run(  # noqa: S603 - the scheduler's own command
            ["scontrol", "requeue", job],  # noqa: S607 - wherever the site has it
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def environment_of(environ: Mapping[str, str], socket: str) -> dict[str, str]:
    """The job's: ours, and the socket of a daemon that we started for it."""
    return {**environ, "RESPOOL_SOCKET": socket} if socket else dict(environ or os.environ)
