"""A run's rows as the hub streams them: all, head or tail, never more in memory than is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

from respoold.cli.hub import Hub
from respoold.cli.runs import RunPath

Row = dict[str, Any]
FIRST_WINDOW = 8
WIDER = 16


class Query(NamedTuple):
    """Which rows. `everything`: each record instead of one line a step. `writer` implies it."""

    run: RunPath
    everything: bool = False
    attempt: int | None = None
    writer: int | None = None
    keys: tuple[str, ...] = ()
    min_step: int | None = None
    max_step: int | None = None


def rows(hub: Hub, query: Query) -> Generator[Row, None, None]:
    """Every row, as it arrives."""
    url = query.run.url("history")
    found = hub.lines(
        url,
        all=1 if query.everything else None,
        attempt=query.attempt,
        keys=",".join(query.keys) or None,
        min_step=query.min_step,
        max_step=query.max_step,
    )
    with closing(found):
        for row in found:
            if query.writer is None or row.get("_writer") == query.writer:
                yield row


def head(hub: Hub, query: Query, count: int) -> list[Row]:
    """The first rows; the hub is not asked for more than is read."""
    with closing(rows(hub, query)) as found:
        return list(islice(found, count))


def tail(hub: Hub, query: Query, count: int) -> list[Row]:
    """The last rows. Asks for a window before the last step, and for wider ones until it holds enough."""
    last = None if query.everything or query.attempt is not None else _last_step(hub, query)
    low = query.min_step or 0
    window = count * FIRST_WINDOW
    while last is not None and last - window > low:
        kept = deque(rows(hub, query._replace(min_step=last - window)), maxlen=count)
        if len(kept) == count:
            return list(kept)
        window *= WIDER
    return list(deque(rows(hub, query), maxlen=count))


def _last_step(hub: Hub, query: Query) -> int | None:
    step = hub.get(query.run.url()).get("last_step")
    if isinstance(step, int) and query.max_step is not None:
        return min(step, query.max_step)
    return step if isinstance(step, int) else None


def keys_of(found: Iterable[Row]) -> list[str]:
    """Every key, in the order of first appearance: ours (`_step` ...) first."""
    seen: dict[str, None] = {}
    for row in found:
        seen.update(dict.fromkeys(row))
    return sorted(seen, key=lambda key: not key.startswith("_"))
