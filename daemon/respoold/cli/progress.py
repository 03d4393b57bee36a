"""A bar for what takes a while: bytes, rate, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from respoold.cli.screen import Screen


@contextmanager
def progress(screen: Screen, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not screen.err.isatty():
        yield lambda _: None
        return
    console = Console(file=screen.err, no_color=not screen.colour)
    shown = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(
        *shown, TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task(name.rsplit(".", 2)[0], total=total)
        yield lambda count: bar.advance(task, count)
