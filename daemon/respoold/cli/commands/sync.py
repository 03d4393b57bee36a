"""Upload what runs kept while no daemon was there, and wait until it is done.

Without an argument: ./respool/spool and every spool that a run of yours has
registered on this machine. Nothing is deleted before the hub has it; a spool
that is still being written is read as far as it goes. Who has no key hands
what is over to the daemon of this machine. Exit code 1 when
something is left or can never be sent, 3 when the hub cannot be reached.
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from respool import handing_over, own_daemons
from respool.link import LinkError
from respoold import __version__
from respoold.app import Outcome, drain
from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments
from respoold.cli.commands.status import what_waits
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.errors import CommandError, DeniedError, Exit
from respoold.cli.hub import find_hub, find_key
from respoold.cli.places import Places, here, registered_spools
from respoold.cli.screen import Screen
from respoold.config import Config, ConfigError, load
from respoold.io.disk import attempts_in
from respoold.tasks.adopt import owned

EXAMPLES = """
examples:
  respool sync
  respool sync /scratch/job-17/respool/spool
"""

HERE = os.path.join("respool", "spool")
TELL_SECONDS = 5.0
HAND_OVER_SECONDS = 600.0


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "spools", metavar="SPOOL_DIR", nargs="*", help="spool folders (./respool/spool and known ones)"
    )
    add_reading_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Upload; the exit code says whether anything is left."""
    places = here()
    spools = _spools(args.spools, places)
    if not spools:
        screen.note("There is no spool in ./respool/spool and none is registered: nothing to upload.")
        _tell_of_daemon(screen, places)
        return Exit.DONE
    if _keyless(args.hub, places) and (found := _any_daemon(places)) is not None:
        return _hand_over(found, spools, args, places, screen)
    outcome, code = upload(spools, args.hub, places, screen)
    if args.json:
        screen.emit(outcome._asdict() | {"spools": spools})
    else:
        _tell(screen, outcome)
        if not args.spools:
            _tell_of_daemon(screen, places)
    return code


def upload(spools: list[str], hub: str | None, places: Places, screen: Screen) -> tuple[Outcome, Exit]:
    """Send what lies there and tell the progress: what became of it, and the exit code for that."""
    line = ProgressLine(screen)
    with desk(places) as own:
        outcome = drain(spools, _config(hub, places, own), line.report)
    line.end()
    if outcome.left_records or outcome.left_files:
        return outcome, Exit.BAD if line.hub_reachable else Exit.UNREACHABLE
    return outcome, Exit.BAD if outcome.lost or outcome.given_up else Exit.DONE


def _keyless(named: str | None, places: Places) -> bool:
    return find_key(find_hub(named, places), places) is None


def _any_daemon(places: Places) -> str | None:
    """The socket of the daemon that answers here, if any: it has a key where this user has none."""
    try:
        with open_daemon(places) as link:
            return link.path
    except NoDaemonError:
        return None


def _hand_over(socket: str, spools: list[str], args: Namespace, places: Places, screen: Screen) -> int:
    """Pass what is over to the daemon, and wait until the hub has it."""
    attempts = [one for spool in spools for one in handing_over.ready_in(spool)]
    url = find_hub(args.hub, places).url
    screen.note(
        f"There is no key of yours for {url}; the daemon at {socket} brings {words.counted(len(attempts), 'attempt')}."
    )
    try:
        left = handing_over.completely(socket, f"respool {__version__}", attempts, HAND_OVER_SECONDS)
    except (LinkError, handing_over.Refusal, OSError) as error:
        advice = "Nothing is lost; run `respool sync` again, or log in with `respool login`."
        raise CommandError(Exit.UNREACHABLE, f"The daemon did not take it over: {error}", advice) from error
    if args.json:
        screen.emit({"attempts": len(attempts), "left_attempts": len(left), "spools": spools})
    else:
        done = len(attempts) - len(left)
        screen.say(f"At the hub: {words.counted(done, 'attempt')}. On their way: {len(left)}.")
    return Exit.BAD if left else Exit.DONE


def _spools(named: list[str], places: Places) -> list[str]:
    for name in named:
        if not os.path.isdir(name):
            cause = f"There is no folder {name!r}."
            raise CommandError(Exit.USAGE, cause, "Name the folder that `respool.init` printed, or none.")
    here_too = [HERE] if not named and os.path.isdir(HERE) else []
    known = registered_spools(places)
    found = [_spool_in(name, known) for name in named] + [os.path.realpath(name) for name in here_too]
    return list(dict.fromkeys(found if named else found + known))


def _spool_in(named: str, known: list[str]) -> str:
    """The spool that a folder is, or holds. One that is known and empty has been sent before."""
    for folder in (os.path.realpath(named), os.path.realpath(os.path.join(named, HERE))):
        attempts = attempts_in(folder)
        if attempts and not any(owned(one) for one in attempts):
            cause = f"What is in {folder} belongs to uid {os.stat(attempts[0]).st_uid}, you are uid {os.getuid()}."
            raise CommandError(Exit.USAGE, cause, "Its owner can send it with `respool sync`.")
        if attempts or folder in known or os.path.isdir(os.path.join(folder, own_daemons.ROOT)):
            return folder
    cause = f"There is nothing to upload in {named!r}: neither it nor {HERE} in it holds attempts of runs."
    raise CommandError(
        Exit.USAGE, cause, "Name the folder that `respool.init` printed; what was sent before may be gone."
    )


@contextmanager
def desk(places: Places) -> Iterator[str]:
    """An empty spool to work from: the user's own one may be a running daemon's."""
    try:
        os.makedirs(places.state_folder, mode=0o700, exist_ok=True)
        made = TemporaryDirectory(prefix="sync-", dir=places.state_folder)
    except OSError as error:
        cause = f"The folder {places.state_folder} cannot be used: {error.strerror}."
        raise CommandError(Exit.USAGE, cause, "Point XDG_STATE_HOME to a folder of yours.") from error
    with made as own:
        yield own


def _config(named: str | None, places: Places, desk: str) -> Config:
    address = find_hub(named, places)
    key = find_key(address, places)
    if key is None:
        cause = f"There is no key for the hub at {address.url}."
        raise DeniedError(cause, f"Log in with `respool login {address.url}`.")
    try:
        # Said by hand, it is where all goes; else a run goes to the hub that it named when it began.
        return load({"hub": address.url, "one_hub": named is not None, "api_key": key, "spool": desk})
    except ConfigError as error:
        raise CommandError(Exit.USAGE, f"The configuration cannot be used: {error}") from error


def _tell(screen: Screen, outcome: Any) -> None:
    sent = _amount(outcome.records, outcome.files)
    left = _amount(outcome.left_records, outcome.left_files)
    screen.say(f"Uploaded {sent or 'nothing'}. {f'Still here: {left}' if left else 'Nothing is left'}.")
    if left:
        screen.note(
            f"  {outcome.why or 'The hub did not take them yet'}; nothing is lost, run `respool sync` again."
        )
    if outcome.lost:
        screen.note(
            f"  {words.counted(outcome.lost, 'record')} could not be read; the hub shows where they are missing."
        )
    for what in outcome.given_up:
        screen.note(f"  {what}.")


def _tell_of_daemon(screen: Screen, places: Places) -> None:
    """What else of this user waits on this machine: a daemon's spool is its own business."""
    try:
        with open_daemon(places) as link:
            path, waits = link.path, what_waits(link.status())
    except (NoDaemonError, CommandError):
        return
    if waits:
        screen.note(f"The daemon at {path} sends {' and '.join(waits)} by itself; `respool status` tells.")


def _amount(records: int, files: int) -> str:
    parts = [words.counted(records, "record")] if records else []
    return " and ".join(parts + ([words.counted(files, "file")] if files else []))


class ProgressLine:
    """One line that is rewritten on a terminal, and written every few seconds elsewhere."""

    def __init__(self, screen: Screen) -> None:
        self.hub_reachable = True
        self._screen = screen
        self._live = screen.err.isatty()
        self._began = self._told = time.monotonic()
        self._shown = 0

    def report(self, state: dict[str, Any]) -> None:
        """Take the state of the upload; shown after the first second."""
        self.hub_reachable = bool(state.get("hub_reachable", True))
        now = time.monotonic()
        if now - self._began < 1.0 or (not self._live and now - self._told < TELL_SECONDS):
            return
        self._told = now
        waits = ", ".join(what_waits(state)) or "nothing"
        why = f"; {state['why']}" if state.get("why") else ""
        self._write(
            f"{words.counted(int(state.get('sent_records') or 0), 'record')} uploaded, {waits} to go{why}"
        )

    def end(self) -> None:
        if self._shown:
            print("\r" + " " * self._shown + "\r", end="", file=self._screen.err, flush=True)

    def _write(self, text: str) -> None:
        text = words.clean(text)
        if not self._live:
            self._screen.note(text)
            return
        text = text[: (self._screen.width or 80) - 1]
        print("\r" + text.ljust(self._shown), end="", file=self._screen.err, flush=True)
        self._shown = max(self._shown, len(text))
