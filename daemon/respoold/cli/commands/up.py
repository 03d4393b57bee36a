"""Start a hub and a daemon here, for one person, until Ctrl-C.

The hub listens on a Unix socket in a folder of yours alone, unless --listen
says otherwise; a key is made and kept by itself. Both are children of this
command: they end with it, and one that dies is started again.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from respoold.cli.children import Child
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.errors import CommandError, Exit
from respoold.cli.household import Household, Layout, check_socket, user_name
from respoold.cli.places import Places, here
from respoold.cli.screen import Screen
from respoold.core.address import normal

EXAMPLES = """
examples:
  respool up
  respool up --listen 127.0.0.1:8787
  respool up --data /scratch/hub
"""

GRACE_SECONDS = 15.0
LOOK_SECONDS = 0.3
STEADY_SECONDS = 60.0
PATIENCE_SECONDS = 30.0


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--data", metavar="DIR", help="the hub's data ($XDG_STATE_HOME/respool/hub)")
    parser.add_argument("--listen", metavar="HOST:PORT", help="the hub listens here (a Unix socket in DIR)")
    parser.add_argument("--spool", metavar="DIR", help="the daemon's spool ($XDG_STATE_HOME/respool/HOST)")


def run(args: Namespace, screen: Screen) -> int:
    """Serve until a signal."""
    places = here()
    layout = _layout(args, places)
    with _only_one(places):
        return _serve(layout, places, screen)


class Asked:
    """Whether a signal has asked us to stop. A threading.Event cannot be set in a handler: the code that it interrupts
    may hold the lock that it needs.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """A signal's handler."""
        with suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> bool:
        """Until asked, or so many seconds; whether asked."""
        return bool(select.select([self._read], [], [], seconds)[0])


def _serve(layout: Layout, places: Places, screen: Screen) -> int:
    asked = Asked()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, asked.take)
    household = Household(layout, places.environ)
    try:
        household.start_hub()
        household.wire_key(user_name(), f"respool up on {os.uname().nodename}")
        daemon = None if _has_daemon(places, household.url) else household.start_daemon()
        _introduce(screen, household, places, own=daemon is not None)
        _watch(screen, household, daemon, asked)
    finally:
        household.stop(GRACE_SECONDS)
    screen.say("Stopped. What was not uploaded is in the spool and goes on at the next start.")
    return Exit.DONE


def _layout(args: Namespace, places: Places) -> Layout:
    data = os.path.abspath(args.data or os.path.join(places.state_folder, "hub"))
    listen = args.listen or f"unix:{data}/hub.sock"
    if listen.startswith("unix:"):
        check_socket(listen.removeprefix("unix:"), "Choose a shorter --data, or --listen 127.0.0.1:8787.")
    socket = places.environ.get("RESPOOL_SOCKET") or places.user_socket
    check_socket(socket, "Set RESPOOL_SOCKET to a shorter path.")
    spool = os.path.abspath(args.spool) if args.spool else places.spool
    logs = os.path.join(places.state_folder, "log")
    return Layout(data, listen, spool, socket, logs, places.credentials)


@contextmanager
def _only_one(places: Places) -> Iterator[None]:
    """Hold the place of the one `respool up` of this user on this machine."""
    path = os.path.join(places.state_folder, f"up-{os.uname().nodename}.lock")
    os.makedirs(places.state_folder, mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            cause = f"`respool up` runs already, as process {file.read(20).strip() or '?'}."
            raise CommandError(Exit.BAD, cause, "Use that one, or stop it with Ctrl-C first.") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _has_daemon(places: Places, url: str) -> bool:
    """Whether a daemon for this very hub runs already, such as one that init() started. Raises CommandError for
    one that belongs to another hub.
    """
    try:
        with open_daemon(places) as link:
            hub = link.welcome.hub
            if hub is not None and normal(hub) == normal(url):
                return True
            cause = f"A daemon answers at {link.path} already, for {hub or 'no hub'}."
    except NoDaemonError:
        return False
    raise CommandError(Exit.BAD, cause, "Use that one, or stop it first; `respool status` says what it does.")


def _introduce(screen: Screen, household: Household, places: Places, *, own: bool) -> None:
    layout = household.layout
    screen.say("respool is up; Ctrl-C stops it.", "bold")
    found = {
        "hub": household.url,
        "data": f"{layout.data}   (with the admin-key)",
        "daemon": layout.socket if own else f"{layout.socket}   (was running already)",
        "spool": layout.spool,
        "key": layout.credentials,
        "logs": layout.logs,
    }
    for label, text in found.items():
        screen.say(f"  {label:<8}{text}")
    screen.say()
    screen.say("In another terminal:", "bold")
    if places.environ.get("RESPOOL_SOCKET"):
        screen.say(f"  export RESPOOL_SOCKET={layout.socket}")
    screen.say("  python train.py      a script with: import respool; respool.init(project=...)")
    screen.say("  respool status       what waits here, and why")
    screen.say("  respool runs         what the hub has")
    screen.out.flush()


def _watch(screen: Screen, household: Household, daemon: Child | None, asked: Asked) -> None:
    """Until asked to stop: start again what died, at once the first time, slower if it keeps dying."""
    starts: dict[Child, Callable[[], object]] = {household.hub: household.start_hub}
    if daemon is not None:
        starts[daemon] = household.start_daemon
    patience = dict.fromkeys(starts, 0.0)
    while not asked.wait(LOOK_SECONDS):
        for child, start in starts.items():
            if child.alive:
                continue
            steady = time.monotonic() - child.started > STEADY_SECONDS
            patience[child] = 0.0 if steady else min(PATIENCE_SECONDS, 2 * patience[child] + 1)
            screen.note(f"The {child.name} {child.end()}; starting it again.")
            if patience[child] > 1 and asked.wait(patience[child]):
                return
            _restart(screen, child, start)


def _restart(screen: Screen, child: Child, start: Callable[[], object]) -> None:
    """A restart that fails is said and tried again at the next look."""
    try:
        start()
    except CommandError as error:
        child.kill()
        screen.note(f"{error.cause}\n  {error.advice}")
