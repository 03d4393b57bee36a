"""Run the hub in the foreground.

One line says when it is ready; SIGTERM ends it in order. At the first start it
makes an admin key and writes it to DIR/admin-key, readable by you alone.
Data that were put back from a backup are noticed, and daemons then send again
what is not there; only a snapshot of the whole disk needs --restored, once.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from respool_hub.app import serve
from respool_hub.config import ConfigError, HubConfig
from respoold.cli.arguments import octets
from respoold.cli.errors import CommandError, Exit
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool hub --data /srv/respool --listen 127.0.0.1:8787
  respool hub --data ~/hub --listen unix:$HOME/hub/hub.sock
"""


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--data", metavar="DIR", required=True, help="all that the hub keeps is in here")
    parser.add_argument("--listen", metavar="WHERE", required=True, help="HOST:PORT or unix:/path/hub.sock")
    parser.add_argument("--database", metavar="URL", help="instead of SQLite in DIR")
    parser.add_argument("--blobs", metavar="URL", help="instead of files in DIR")
    parser.add_argument(
        "--restored", action="store_true", help="DIR was put back from a snapshot of the whole disk"
    )
    parser.add_argument(
        "--project-quota",
        metavar="SIZE",
        type=octets,
        default=0,
        help="what a project's files and checkpoints may hold, such as 500G; any amount unless given",
    )


def run(args: Namespace, _screen: Screen) -> int:
    """Serve until a signal."""
    try:
        where = (args.data, args.listen, args.database, args.blobs)
        serve(HubConfig(*where, args.restored, args.project_quota))
    except ConfigError as error:
        cause, _, advice = str(error).partition(". ")
        raise CommandError(Exit.USAGE, f"{cause.rstrip('.')}.", advice) from error
    return Exit.DONE
