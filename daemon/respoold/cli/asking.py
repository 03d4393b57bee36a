"""The shim's door to the hub, for commands that share their work with it: its errors as a command's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from respool.apis.address import find
from respool.apis.hub import Hub
from respool.errors import AwayError, CommError, UsageError
from respoold.cli.errors import CommandError, Exit


@contextmanager
def asking(url: str | None, environ: Mapping[str, str]) -> Iterator[Hub]:
    """A hub to ask. Raises CommandError, also for what goes wrong inside."""
    try:
        yield Hub(find(url, None, environ))
    except (AwayError, UsageError, CommError, FileNotFoundError) as error:
        cause, _, advice = str(error).partition(". ")
        code = Exit.UNREACHABLE if isinstance(error, AwayError) else Exit.USAGE
        raise CommandError(code, cause.rstrip(".") + ".", advice or "See `respool status`.") from error
