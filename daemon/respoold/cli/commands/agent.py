"""Work on a sweep: one run after another, each in a process of its own.

What was preempted or lost comes first, with its id and its parameters;
RESPOOL_REQUEUED=1 tells it so, and init(resume=True) or "allow" continues it.
Signals are forwarded as `respool run` does: a preempted run is marked, goes
back to the queue, and this command ends.

A hub that is away costs nothing but time: the run at work goes on. An agent
that has no work and no hub, or only other agents' runs to wait for, ends after
--patience: exit code 3 without a hub, 0 when there is nothing to do.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import tempfile
import threading
from argparse import ArgumentParser, Namespace
from time import monotonic

from respool.sweeping.assignment import NAMES, Assignment, variables
from respool.sweeping.flapping import Flapping
from respool.sweeping.foreman import PATIENCE, Foreman
from respool.sweeping.path import awaited, resolve
from respool.sweeping.renewal import Renewal
from respoold.cli import sweep_command
from respoold.cli.arguments import failure, positive, seconds
from respoold.cli.asking import asking
from respoold.cli.attendant import Attendant, attending
from respoold.cli.errors import CommandError, Exit
from respoold.cli.job import ENDS, FORWARDED, NOT_FOUND, NOT_RUNNABLE, fetch
from respoold.cli.places import here
from respoold.cli.runner import End, Runner, Wishes, environment_of
from respoold.cli.scontrol import Scontrol
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool agent k3x9p2aq
  respool agent lab/digits/k3x9p2aq --count 5
  srun respool agent k3x9p2aq --requeue
"""

PREEMPT_ON = frozenset({int(signal.SIGTERM), int(signal.SIGUSR1)})
STOP_SIGNALS = ((signal.SIGINT, 10.0), (signal.SIGHUP, 20.0), (signal.SIGQUIT, 0.0))
"""How a run that its sweep stops is asked to end, and how long it is given each time."""


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("sweep", metavar="SWEEP", help="ID, PROJECT/ID or ENTITY/PROJECT/ID")
    parser.add_argument("--count", metavar="N", type=positive, help="end after N runs")
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=seconds,
        default=PATIENCE,
        help="end after so long without work or hub (%(default).0f)",
    )
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=seconds,
        default=0.0,
        help="kill a run so long after a preemption's signal",
    )
    parser.add_argument(
        "--requeue-exit", metavar="N", type=failure, help="exit with this code when it was preempted"
    )
    parser.add_argument("--requeue", action="store_true", help="ask SLURM to requeue the job when it was")
    parser.add_argument("--hub", metavar="URL", help="ask this hub instead of the daemon's")


def run(args: Namespace, screen: Screen) -> int:
    """Until there is no more work, or a signal ends it."""
    # Blocked before any thread begins, so that none but this one ever gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    places = here()
    with asking(args.hub, places.environ) as hub, attending(places, screen, args.patience) as daemon:
        environ = environment_of(places.environ, daemon.socket)
        agent = _Agent(args, screen, daemon, environ)
        where = environ.get("RESPOOL_ENTITY"), environ.get("RESPOOL_PROJECT")
        path = awaited(lambda: resolve(hub, args.sweep, *where), args.patience, agent.pause)
        if path is None:
            return agent.ended
        name = f"{socket.gethostname()}:{os.getpid()}"
        foreman = Foreman(hub, path, name, patience=args.patience, pause=agent.pause)
        return agent.work(foreman)


class _Agent:
    def __init__(self, args: Namespace, screen: Screen, daemon: Attendant, environ: dict[str, str]) -> None:
        self._args, self._screen, self._daemon, self._environ = args, screen, daemon, environ
        self._wishes = Wishes(PREEMPT_ON, args.grace, args.requeue_exit, args.requeue)
        self._signalled = 0

    def work(self, foreman: Foreman) -> int:
        """The exit code of the whole."""
        flapping, done = Flapping(), 0
        while not self.pause(0.0) and (self._args.count is None or done < self._args.count):
            work = foreman.next()
            if work is None:
                break
            done += 1
            try:
                runner, end, seconds, stopped = self._one(foreman, work)
            except CommandError as error:
                # No run of the sweep could be started here: each that this agent tried would be lost.
                foreman.give_back(work.lease)
                cause = f"Run {work.run_id} cannot be started: {error.cause}"
                raise CommandError(
                    error.code, cause, f"{error.advice} The run waits for another agent."
                ) from error
            foreman.report(work.lease, end.code)
            if end.preempted and not stopped:
                self._screen.note(
                    f"respool agent: run {work.run_id} was preempted and goes back to its sweep; this agent ends."
                )
                return runner.leave(end)
            if not stopped and end.code in {-signal.SIGINT, 128 + signal.SIGINT}:
                return 128 + signal.SIGINT
            flapping.ended(0 if stopped else end.code, seconds)
            if flapping.given_up:
                return Exit.BAD
        return self.ended

    @property
    def ended(self) -> int:
        """The exit code of one that a signal ended, or that had nothing left to do."""
        return 128 + self._signalled if self._signalled else Exit.DONE

    def pause(self, seconds: float) -> bool:
        """Wait; whether a signal says that this agent is to end."""
        deadline = monotonic() + seconds
        while not self._signalled:
            number = fetch(max(0.0, deadline - monotonic()))
            if number is None:
                return False
            if number in ENDS or number in PREEMPT_ON:
                self._signalled = number
        return True

    def _one(self, foreman: Foreman, work: Assignment) -> tuple[Runner, End, float, bool]:
        begun = monotonic()
        kept = {key: value for key, value in self._environ.items() if key not in NAMES}
        environ = kept | variables(work)
        with tempfile.TemporaryDirectory(prefix="respool-agent-") as folder:
            command = sweep_command.filled(
                work.command, work.program, work.parameters, environ, lambda: _written(folder, work)
            )
            job = f"respool agent: run {work.run_id}"
            self._screen.note(f"{job}{_before(work.requeues)}: {shlex.join(command)}")
            runner = Runner(self._wishes, self._daemon, environ, self._screen, Scontrol(environ), job)
            ended = threading.Event()
            with Renewal(foreman, work, lambda: _stop(ended)) as renewal:
                try:
                    end = runner.run(command)
                except OSError as error:
                    cause = f"{command[0]} cannot be run: {error.strerror}."
                    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE
                    raise CommandError(code, cause, "Look at `command:` in the sweep.") from error
                finally:
                    ended.set()
        if renewal.stopped:
            self._screen.note(f"{job} was stopped by its sweep.")
        return runner, end, monotonic() - begun, renewal.stopped


def _before(requeues: int) -> str:
    match requeues:
        case 0:
            return ""
        case 1:
            return ", begun once before"
    return f", begun {requeues} times before"


def _stop(ended: threading.Event) -> None:
    """End the run, and not this agent: it forwards what it sends itself."""
    for number, patience in STOP_SIGNALS:
        if ended.is_set():
            return
        os.kill(os.getpid(), number)
        ended.wait(patience)


def _written(folder: str, work: Assignment) -> str:
    path = os.path.join(folder, "parameters.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(work.parameters, file)
    return path
