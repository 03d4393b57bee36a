"""Run the daemon of a machine in the foreground.

It takes rows and files from the training processes of this machine and brings
them to the hub. One line says when it is ready; SIGTERM ends it in order, and
what is not uploaded by then stays in the spool for the next start.

Flags win over the environment (RESPOOL_HUB_URL, RESPOOL_SPOOL_DIR ...), that
over ~/.config/respool/respoold.toml, that over /etc/respool/respoold.toml.
A socket that systemd holds for it wins over all.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from respoold.app import serve
from respoold.cli import credentials
from respoold.cli.errors import CommandError, Exit
from respoold.cli.household import check_socket
from respoold.cli.hub import checked
from respoold.cli.places import here
from respoold.cli.screen import Screen
from respoold.config import Config, ConfigError, load
from respoold.io.socket import inherited_path

EXAMPLES = """
examples:
  respool daemon --hub https://hub.example
  respool daemon --hub unix:/srv/respool/hub.sock --spool /scratch/spool \\
                 --socket /run/user/1000/respool/respoold.sock
"""


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--spool", metavar="DIR", help="keep everything here until the hub has it")
    parser.add_argument("--socket", metavar="PATH", help="listen for training processes here")
    parser.add_argument("--hub", metavar="URL", help="bring it to this hub")
    parser.add_argument(
        "--idle-exit", metavar="SECONDS", help="end when so long nothing runs and nothing waits (0: never)"
    )
    parser.add_argument("--key-file", metavar="PATH", help="the file whose first line is the key for the hub")


def run(args: Namespace, _screen: Screen) -> int:
    """Serve until a signal; the daemon's own exit code."""
    key = _key(args.key_file) if args.key_file else None
    spool, socket = (os.path.abspath(path) if path else None for path in (args.spool, args.socket))
    held = inherited_path()
    flags = {"spool": spool, "socket": held or socket, "hub": args.hub, "api_key": key}
    flags["idle_exit"] = args.idle_exit
    try:
        config = load(flags)
        if config.hub is None:
            config = load(flags | {"hub": _only_login()})
    except ConfigError as error:
        cause = f"The configuration cannot be used: {error}"
        raise CommandError(Exit.USAGE, cause, "`respool daemon --help` says where it comes from.") from error
    _check(config, bind=held is None)
    return serve(config)


def _only_login() -> str | None:
    """The hub of whoever logged in at one, and said no more."""
    known = list(credentials.load(here().credentials))
    return known[0] if len(known) == 1 else None


def _check(config: Config, *, bind: bool) -> None:
    """What can be known to fail before anything is opened."""
    if config.hub is not None:
        checked(config.hub, "--hub, RESPOOL_HUB_URL or the configuration")
    check_socket(config.socket, "Choose a shorter --socket.")
    folders = [("--spool", config.spool)] + [("--socket", os.path.dirname(config.socket))] * bind
    for flag, folder in folders:
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            usable = os.access(folder, os.W_OK | os.X_OK)
        except OSError:
            usable = False
        if not usable:
            cause = f"The daemon cannot use the folder {folder}: it is not there and cannot be made, or not writable."
            raise CommandError(Exit.USAGE, cause, f"Choose another one with {flag}.")


def _key(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            key = file.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = f"The key file {path} cannot be read: {error}."
        raise CommandError(Exit.USAGE, cause, "Name a file whose first line is the key.") from error
    if not key:
        raise CommandError(Exit.USAGE, f"The key file {path} is empty.", "Its first line must be the key.")
    return key
