"""Watch what moves on this machine: `respool status`, again and again.

Runs, what waits, and of each checkpoint on its way its bytes, rate, time left
and deadline. Ctrl-C ends it. Where the output is no terminal, it prints one page.
"""

from __future__ import annotations

import io
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from respoold.cli.commands.status import print_status
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.errors import CommandError, Exit
from respoold.cli.places import here
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool top
  respool top --interval 0.5
"""

SHORTEST = 0.2


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--interval", metavar="SECONDS", type=_interval, default=1.0, help="1 unless given")


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not SHORTEST <= seconds <= 3600:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from {SHORTEST} to 3600")
    return seconds


def run(args: Namespace, screen: Screen) -> int:
    """Show pages until interrupted."""
    if not screen.live:
        text, there = page(screen, time.time())
        if not there:
            raise CommandError(Exit.UNREACHABLE, text, "`respool status` says what was tried.")
        screen.say(text)
        return Exit.DONE
    console = Console(file=screen.out, no_color=not screen.colour)
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            watch(screen, lambda text: live.update(Text.from_ansi(text), refresh=True), args.interval)
    except KeyboardInterrupt:
        return Exit.DONE
    return Exit.DONE


def watch(
    screen: Screen,
    show: Callable[[str], None],
    interval: float,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Show a page every `interval` seconds until `wait` raises; a daemon that is away is waited for."""
    while True:
        show(page(screen, time.time())[0])
        wait(interval)


def page(screen: Screen, now: float) -> tuple[str, bool]:
    """The page as text, and whether a daemon answered."""
    try:
        with open_daemon(here()) as link:
            status = link.status()
    except NoDaemonError:
        return "No daemon answers on this machine.", False
    held = io.StringIO()
    print_status(Screen(held, held, width=screen.width, colour=screen.colour), status, now)
    return held.getvalue().rstrip("\n"), True
