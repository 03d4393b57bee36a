"""`respool COMMAND ...`: chooses the command, turns expected failures into two sentences and an exit code."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
import textwrap
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from keyword import iskeyword
from typing import Any, Protocol

from respoold import __version__
from respoold.cli.errors import CommandError, Exit
from respoold.cli.screen import Screen, open_screen


class Command(Protocol):
    """What a module under `commands` offers. Its docstring is the description, `EXAMPLES` ends the help."""

    EXAMPLES: str

    def configure(self, parser: ArgumentParser) -> None: ...

    def run(self, args: Namespace, screen: Screen) -> int: ...


COMMANDS: dict[str, dict[str, str]] = {
    "Begin": {
        "demo": "watch a training get killed, resume, keep one history (40 s)",
        "up": "a hub and a daemon here, for one person",
        "run": "run a job: preemption seen, told, and requeued",
        "sweep": "make a sweep at the hub; pause, resume, stop, cancel, list",
        "agent": "work on a sweep: one run after another",
    },
    "Look": {
        "status": "what waits here, for whom, since when, why, and what to do",
        "top": "the same, again and again: what moves, how fast, until when",
        "runs": "the runs at the hub, newest activity first",
        "show": "one run: its attempts, config and summary; or a sweep",
        "history": "the logged rows of a run, one line a step",
        "plot": "metrics as curves in the terminal",
        "console": "what a run printed",
        "system": "the load of a run's processes and machine, sample by sample",
        "files": "the files of a run",
        "checkpoints": "the checkpoints of a run; pin, unpin or drop one",
        "restore": "fetch a file or checkpoint of a run, checked bit for bit",
    },
    "Move": {
        "export": "runs as folders: config, summary, history, files",
        "import": "put exported runs into a hub",
        "sync": "upload what runs kept while no daemon was there",
        "lineage": "how a run's attempts hang together; mend it",
        "spool": "what lies in this machine's spool, and removing it",
        "delete": "delete a run at the hub, for good",
        "gc": "have the hub remove bytes that nothing needs any more",
    },
    "Serve": {
        "daemon": "the daemon of a machine, in the foreground",
        "hub": "the hub, in the foreground",
        "install-units": "write the systemd units of both",
        "doctor": "what cannot work here, or in a training script",
        "login": "keep a key for a hub",
        "key": "make, list and revoke keys of a hub",
        "team": "let several users share runs",
    },
}
HELP_WIDTH = 78
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
EXIT_CODES = "exit codes: 0 done, 1 it is in a bad state, 2 usage, 3 cannot reach"


def main(argv: list[str]) -> int:
    """Run one command; the exit code. ModuleNotFoundError for a missing extra is the caller's."""
    screen = open_screen()
    try:
        return _dispatch(argv, screen)
    except CommandError as error:
        _explain(screen, error, argv)
        return error.code
    except KeyboardInterrupt:
        screen.note("respool: interrupted.")
        return 130
    except BrokenPipeError:
        # The reader has seen enough (`| head`). Python would complain once more when it flushes at exit.
        _drop_output()
        return Exit.DONE
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _drop_output()
        screen.note(f"respool: the output cannot be written: {error.strerror}.")
        return Exit.BAD


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(argv: list[str], screen: Screen) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        screen.say(overview())
        return Exit.DONE if argv else Exit.USAGE
    if argv[0] == "--version":
        screen.say(f"respool {__version__}")
        return Exit.DONE
    _check_known(argv[0])
    command: Any = importlib.import_module(module_of(argv[0]))
    args = parser_of(argv[0], command).parse_args(argv[1:])
    code: int = command.run(args, screen)
    sys.stdout.flush()
    return code


def module_of(name: str) -> str:
    """The module of a command."""
    return f"respoold.cli.commands.{name.replace('-', '_')}{'_' if iskeyword(name) else ''}"


def parser_of(name: str, command: Command) -> ArgumentParser:
    """The argument parser of a command."""
    parser = ArgumentParser(
        prog=f"respool {name}",
        description=_reflowed(command.__doc__ or ""),
        epilog=f"{command.EXAMPLES.strip()}\n\n{EXIT_CODES}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.configure(parser)
    return parser


def _reflowed(text: str) -> str:
    """Paragraphs filled to the width of the narrowest terminal in use."""
    return "\n\n".join(textwrap.fill(" ".join(part.split()), HELP_WIDTH) for part in text.split("\n\n"))


def _check_known(name: str) -> None:
    known = [command for group in COMMANDS.values() for command in group]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2)
        advice = f"Did you mean {' or '.join(near)}?" if near else "`respool --help` lists the commands."
        raise CommandError(Exit.USAGE, f"There is no command {name!r}.", advice)


def overview() -> str:
    """The text of `respool --help`."""
    lines = ["usage: respool COMMAND [...]    `respool COMMAND --help` says more, with examples", ""]
    lines += ["Training runs that survive: a durable local spool, resume after preemption, one history.", ""]
    for group, commands in COMMANDS.items():
        lines += [f"  {group}"] + [f"    {name:<13} {text}" for name, text in commands.items()] + [""]
    return "\n".join([*lines, EXIT_CODES])


def _explain(screen: Screen, error: CommandError, argv: list[str]) -> None:
    command = argv[0] if argv and argv[0].replace("-", "_").isidentifier() else ""
    screen.note(f"respool {command}".rstrip() + f": {error.cause}")
    if error.advice:
        screen.note(f"  {error.advice}")
