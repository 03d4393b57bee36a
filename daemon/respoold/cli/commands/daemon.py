"""Run the daemon of a machine in the foreground.

It takes rows and files from the training processes of this machine and brings
them to the hub. One line says when it is ready; SIGTERM ends it in order, and
what is not uploaded by then stays in the spool for the next start.

Flags win over the environment (RESPOOL_HUB_URL, RESPOOL_SPOOL_DIR ...), that
over ~/.config/respool/respoold.toml, that over /etc/respool/respoold.toml.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from respoold.app import serve
from respoold.cli.errors import CommandError, Exit
from respoold.cli.screen import Screen
from respoold.config import ConfigError, load

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
    parser.add_argument("--key-file", metavar="PATH", help="the file whose first line is the key for the hub")


def run(args: Namespace, _screen: Screen) -> int:
    """Serve until a signal; the daemon's own exit code."""
    key = _key(args.key_file) if args.key_file else None
    flags = {"spool": args.spool, "socket": args.socket, "hub": args.hub, "api_key": key}
    try:
        config = load(flags)
    except ConfigError as error:
        cause = f"The configuration cannot be used: {error}"
        raise CommandError(Exit.USAGE, cause, "`respool daemon --help` says where it comes from.") from error
    return serve(config)


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
