"""`respool run`: a job is watched, its preemption told before it hears of it, and its end told to the scheduler."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from respool.schedulers import jobs_of
from respool.wire.messages import Foretold, Left
from respoold.cli.job import Job, fetch
from respoold.cli.screen import Screen
from respoold.core.notice_words import SLURM

OUTLIVED_SECONDS = 30.0
LINGER_SECONDS = 300.0
LATE_SECONDS = 1.0
"""Who ends all processes of a job at once may reach us after the job."""
_BY_SIGNAL = 128
_PREEMPTED = frozenset({"preempting", "preempted"})


class Speaks(Protocol):
    """Who tells the daemon, and knows what it makes of it; nothing where there is no daemon."""

    def judged(self, said: Foretold | Left) -> dict[str, str]: ...

    def hurry(self) -> None: ...


class Asks(Protocol):
    """The scheduler; see `respoold.cli.scontrol`."""

    job: str

    def preempted(self) -> float | None: ...

    def requeue(self) -> bool: ...


class Wishes(NamedTuple):
    """`preempt_on`: signals that announce a preemption. `grace`: seconds after one until the job is killed, 0: never.
    `requeue_exit`: the exit code that makes the scheduler requeue; `requeue`: ask SLURM to.
    """

    preempt_on: frozenset[int]
    grace: float = 0.0
    requeue_exit: int | None = None
    requeue: bool = False


class End(NamedTuple):
    """How it ended. `signalled`: the signal that announced a preemption, SIGTERM where the scheduler was asked; 0: none
    did.
    """

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
    """One job, which is called `job` in what is said of its end."""

    def __init__(
        self,
        wishes: Wishes,
        daemon: Speaks,
        environ: Mapping[str, str],
        screen: Screen,
        scheduler: Asks,
        job: str = "respool run: the job",
    ) -> None:
        self._wishes = wishes
        self._daemon = daemon
        self._environ = environ
        self._screen = screen
        self._scheduler = scheduler
        self._named = job
        self._identity = next((one.identity for one in jobs_of(environ) if one.lasting), "")
        self._signalled = 0
        self._job: Job | None = None

    def run(self, argv: Sequence[str]) -> End:
        """Start it and wait for its end. Raises OSError where it cannot be started."""
        self._job = job = Job(argv, self._environ)
        code = job.wait(self._heard)
        self._learn_late(code)
        if self._signalled:
            job.outlived(self._wishes.grace or OUTLIVED_SECONDS)
        # A signal is no exit status: what the daemon saw of it stands.
        states = self._daemon.judged(Left(job.pid, code if code >= 0 else None, self._identity))
        end = End(code, self._signalled, states)
        if code < 0:
            self._screen.note(f"{self._named} was ended by {signal.Signals(-code).name}.")
        return end

    def leave(self, end: End) -> int:
        """The exit code that makes the scheduler do what is right; may wait for it to end us."""
        if not end.preempted:
            return end.status
        wishes, job = self._wishes, self._scheduler.job
        if wishes.requeue and self._scheduler.requeue():
            self._linger(f"job {job} was requeued")
        elif wishes.requeue_exit is None and job:
            # Whoever exits in the grace is COMPLETED or FAILED, and stays so: the scheduler requeues what it kills.
            self._linger("preempted; waiting for SLURM to end and requeue this job")
        return end.status if wishes.requeue_exit is None else wishes.requeue_exit

    def _learn_late(self, code: int) -> None:
        """What ended the job may have been a preemption that we have not heard of: SLURM signals the steps first."""
        deadline = time.monotonic() + (LATE_SECONDS if code < 0 or code > _BY_SIGNAL else 0.0)
        while not self._signalled and (number := fetch(max(0.0, deadline - time.monotonic()))) is not None:
            if number in self._wishes.preempt_on:
                self._heard(number)
        at = None if self._signalled else self._scheduler.preempted()
        if at is not None:
            self._signalled = int(signal.SIGTERM)
            self._daemon.judged(Foretold(SLURM, at, self._identity))

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
        """Signals of the scheduler do not end it; Ctrl-C is a person's."""
        self._screen.note(f"respool run: {why}; Ctrl-C ends this wait.")
        deadline = time.monotonic() + LINGER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if fetch(left) == signal.SIGINT:
                self._daemon.hurry()
                return


def environment_of(environ: Mapping[str, str], socket: str) -> dict[str, str]:
    """The job's: ours, and the socket of a daemon that we started for it."""
    return {**environ, "RESPOOL_SOCKET": socket} if socket else dict(environ or os.environ)
