"""Run a job, the one line in a batch script.

A signal that announces a preemption marks the job's runs as preempting, at the
hub too, before the job hears of it. Signals are forwarded: SIGTERM, SIGINT and
SIGHUP to all that the job started, SIGUSR1 and SIGUSR2 to who handles them.
The job's true exit code is recorded with its runs, also that of os._exit().

A job that was preempted is never shown as completed: this command exits with
--requeue-exit, or 128 + the signal's number, or asks SLURM to requeue it with
--requeue. With neither it waits in a SLURM job until SLURM ends and requeues
it. Runs that ended by finish() in time are finished, and the job with them.
A job that cannot be started is 127 where it is not found, else 126.

Where no daemon answers, one is run for the job, and what it holds is sent
before this returns.
"""

from __future__ import annotations

import signal
from argparse import REMAINDER, ArgumentParser, Namespace

from respoold.cli.arguments import failure, seconds
from respoold.cli.attendant import attending
from respoold.cli.errors import CommandError, Exit
from respoold.cli.job import FORWARDED, NOT_FOUND, NOT_RUNNABLE
from respoold.cli.places import here
from respoold.cli.runner import Runner, Wishes, environment_of
from respoold.cli.scontrol import Scontrol
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool run -- python train.py
  respool run --requeue -- srun python train.py
  srun respool run --requeue-exit 99 -- python train.py
"""


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--preempt-on",
        metavar="SIGNALS",
        default="SIGTERM,SIGUSR1",
        help="signals that announce a preemption, with commas between (%(default)s)",
    )
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=seconds,
        default=0.0,
        help="kill the job so long after one (0: never)",
    )
    parser.add_argument(
        "--requeue-exit", metavar="N", type=failure, help="exit with this code when the job was preempted"
    )
    parser.add_argument("--requeue", action="store_true", help="ask SLURM to requeue the job when it was")
    parser.add_argument(
        "--drain",
        metavar="SECONDS",
        type=seconds,
        default=120.0,
        help="send what a daemon of the job's own holds for at most so long (%(default).0f)",
    )
    parser.add_argument("command", metavar="-- CMD", nargs=REMAINDER, help="the job and its arguments")


def run(args: Namespace, screen: Screen) -> int:
    """The job's exit code, or what makes the scheduler requeue it."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise CommandError(
            Exit.USAGE, "There is no job to run.", "Put it behind two dashes: -- python train.py"
        )
    wishes = Wishes(_signals(args.preempt_on), args.grace, args.requeue_exit, args.requeue)
    places = here()
    with attending(places, screen, args.drain) as daemon:
        environ = environment_of(places.environ, daemon.socket)
        runner = Runner(wishes, daemon, environ, screen, Scontrol(environ))
        try:
            end = runner.run(command)
        except OSError as error:
            cause = f"{command[0]} cannot be run: {error.strerror}."
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE
            raise CommandError(code, cause, "Look for a typing error, or name its whole path.") from error
        if daemon.socket and end.preempted:
            daemon.drained(args.drain)
        return runner.leave(end)


def _signals(text: str) -> frozenset[int]:
    found = set()
    for word in filter(None, (part.strip().upper() for part in text.split(","))):
        name = word if word.startswith("SIG") else f"SIG{word}"
        number = getattr(signal, name, None)
        if number not in FORWARDED:
            known = ", ".join(sorted(one.name for one in FORWARDED))
            raise CommandError(Exit.USAGE, f"--preempt-on names {word!r:.40}.", f"It takes {known}.")
        found.add(int(number))
    return frozenset(found)
