"""Where a reading command reads: a hub, or with --spool a folder and no hub at all."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from respoold.cli.arguments import add_reading_arguments
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Address, Hub, open_hub
from respoold.cli.places import here
from respoold.cli.screen import Screen


def add_source_arguments(parser: ArgumentParser) -> None:
    """--hub, --spool and --json."""
    parser.add_argument("--spool", metavar="DIR", help="read this folder, or copy of one, and ask no hub")
    add_reading_arguments(parser)


def open_source(args: Namespace, screen: Screen) -> Hub:
    """The hub that was named or is known here, or the folder in a hub's place. Raises CommandError."""
    if args.spool is None:
        return open_hub(args.hub, here())
    if args.hub is not None:
        cause = f"--hub {args.hub} and --spool {args.spool} exclude each other."
        raise CommandError(Exit.USAGE, cause, "Choose where to read.")
    from respoold.cli.loose.answers import FolderTransport  # noqa: PLC0415 - 60 ms that a hub's readers spare

    folder = os.path.realpath(args.spool)
    return Hub(Address(folder, "--spool"), None, FolderTransport(args.spool, screen.note))
