"""Find what cannot work here before a night is lost to it: the daemon, the hub, the key, disks, systemd.

With a script, also what in it keeps nothing or loses work; it is read, never run. Exit code 1 when something
cannot work as it is.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from respool.autostart import Surroundings
from respool.environment import read
from respool.wire.limits import FREE_FLOOR
from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments
from respoold.cli.doctor import hubs, machine, script, storage
from respoold.cli.doctor.finding import Finding, Level
from respoold.cli.errors import CommandError, Exit
from respoold.cli.places import Places, here
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool doctor
  respool doctor train.py         what in the script would lose work
  respool doctor --json | jq -r 'select(.level == "bad") | .cause'
"""

_MARKS = {
    Level.GOOD: ("ok", "green"),
    Level.NOTE: ("--", "dim"),
    Level.WARN: ("! ", "yellow"),
    Level.BAD: ("XX", "red"),
}


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("script", metavar="TRAIN.PY", nargs="?", help="a training script to read")
    add_reading_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Look at everything; 1 when something cannot work."""
    read = _script(args.script) if args.script else []
    found = [*_machine(args.hub, here()), *read]
    for one in found:
        if args.json:
            screen.emit(one._asdict() | {"script": args.script if one.line else None})
        else:
            _print(screen, one, args.script)
    bad = sum(one.level is Level.BAD for one in found)
    doubts = sum(one.level is Level.WARN for one in found)
    if not args.json:
        screen.say()
        found_bad = (
            f"{words.counted(bad, 'thing')} cannot work as it is" if bad else "Everything can work as it is"
        )
        screen.say(f"{found_bad}; {words.counted(doubts, 'warning')}." if doubts else f"{found_bad}.")
    return Exit.BAD if bad else Exit.DONE


def _machine(named: str | None, places: Places) -> list[Finding]:
    around = Surroundings(dict(places.environ))
    status, found = hubs.daemon(places)
    folder = storage.local_spool(places.environ) if status is None else str(status.get("spool"))
    return [
        *found,
        *hubs.hub(named, places, has_daemon=status is not None),
        *storage.spool(folder, of_daemon=status is not None, floor=_floor(status, places.environ)),
        *machine.surroundings(around, has_daemon=status is not None),
        *machine.units(places),
    ]


def _floor(status: dict[str, Any] | None, environ: Mapping[str, str]) -> float:
    """The daemon's own; where there is none, what a trainer that starts here would keep to."""
    if status is not None and "disk_floor" in status.get("quota", {}):
        return float(status["quota"]["disk_floor"])
    configured = read(environ).free_floor
    return FREE_FLOOR if configured is None else configured


def _script(path: str) -> list[Finding]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        found = script.check(text, path)
    except OSError as error:
        cause = f"The script {path!r} cannot be read: {error.strerror}."
        raise CommandError(Exit.USAGE, cause, "Name a Python file.") from error
    except (SyntaxError, ValueError) as error:
        raise CommandError(Exit.USAGE, f"{path!r} is no Python: {error}.", "Name a Python file.") from error
    clean = Finding(Level.GOOD, "script", f"Nothing in {os.path.basename(path)} keeps nothing or loses work.")
    return found or [clean]


def _print(screen: Screen, one: Finding, path: str | None) -> None:
    mark, style = _MARKS[one.level]
    where = f"{path}:{one.line}: " if one.line else ""
    screen.say(f"{screen.paint(mark, style)}  {one.about:<10} {words.clean(where + one.cause)}")
    if one.advice:
        screen.say(f"{'':<15}{words.clean(one.advice)}")
