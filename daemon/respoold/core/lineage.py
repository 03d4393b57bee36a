"""Lineage and cuts: which rows of which attempts are a run's history. Shared with the hub.

A run's history is the fold along the lineage of its head. An attempt hides its ancestors' rows from its cut
on. Everything here is a function of data that only grows, so it may be asked again at any time.

A trainer that never names a step repeats its ancestors' rows under new steps; how far it is tells an axis
(`respool.wire.axes`). Such a cut never lies behind the attempt's own first step, so that it moves no last step:
who asks only for that need not know any axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from respool.wire.axes import First
from respool.wire.frames import NO_STEP
from respool.wire.limits import HIDES_NOTHING
from respool.wire.repeats import Reach, lower, repeated


class Link(NamedTuple):
    """One attempt as the fold sees it. `first_steps`: the steps of its primary's first rows, two at most.
    `last_step`: of its trainers; guests, who came by join=True, may count as they please. `rewound`: the argument of
    run.rewind(). `ordered`: a cut set by hand (-1: none at all), which wins. `axes`: the first row of its primary on
    each axis.
    """

    attempt_id: str
    parent: str | None
    first_steps: tuple[int, ...] = ()
    last_step: int = NO_STEP
    rewound: int | None = None
    ordered: int | None = None
    axes: Mapping[str, First] = {}

    @property
    def explicit(self) -> bool:
        """Whether somebody said where it cuts."""
        return self.rewound is not None or self.ordered is not None


class Visible(NamedTuple):
    """Of this attempt, the rows with step < `limit` belong to the history (None: all of them); of its guests those
    with step < `guests`, which only explicit cuts lower. A trainer that logs steps again logs what it hides; nobody
    evaluates again what a guest did.
    """

    attempt_id: str
    limit: int | None
    guests: int | None = None


def lineage(links: Mapping[str, Link], head: str | None) -> list[Link]:
    """The attempts from the oldest ancestor to the head. A parent that is not known ends the walk."""
    chain: list[Link] = []
    seen: set[str] = set()
    while head is not None and head in links and head not in seen:
        seen.add(head)
        chain.append(links[head])
        head = links[head].parent
    return chain[::-1]


def cut_of(link: Link, ancestors_last: int) -> int | None:
    """The step from which this attempt hides its ancestors, or None.

    The first row's step; unless that row only came late: it repeats a known step and the next one lies
    beyond all of them. A rewind is explicit and wins, an order given by hand wins over both.
    """
    if link.ordered is not None:
        return None if link.ordered < 0 else link.ordered
    if link.rewound is not None:
        return link.rewound if link.rewound < HIDES_NOTHING else None
    if link.parent is None or not link.first_steps:
        return None
    first = link.first_steps[0]
    late = len(link.first_steps) > 1 and first <= ancestors_last < link.first_steps[1]
    return None if late else first


def visible(chain: Sequence[Link], reach: Reach | None = None) -> list[Visible]:
    """For each attempt of a lineage, oldest first, which of its rows show. Without `reach` no axis counts."""
    return limited(chain, cuts_of(chain, reach))


def limited(chain: Sequence[Link], cuts: Sequence[int | None]) -> list[Visible]:
    """The same, when the cuts are known."""
    result: list[Visible] = []
    limit: int | None = None
    guests: int | None = None
    for link, cut in zip(reversed(chain), reversed(cuts), strict=True):
        result.append(Visible(link.attempt_id, limit, guests))
        limit = lower(limit, cut)
        guests = lower(guests, cut) if link.explicit else guests
    return result[::-1]


def cuts_of(chain: Sequence[Link], reach: Reach | None = None) -> list[int | None]:
    """The cut of each attempt of a lineage, oldest first."""
    cuts: list[int | None] = []
    limits: list[int | None] = []
    last = NO_STEP
    for index, link in enumerate(chain):
        cut = cut_of(link, last)
        if reach is not None and link.axes and not link.explicit:
            ancestors = [(one.attempt_id, limit) for one, limit in zip(chain[:index], limits, strict=True)]
            cut = lower(cut, repeated(link.axes, ancestors, reach))
        last = _after(last, link, cut)
        cuts.append(cut)
        limits = [*(lower(limit, cut) for limit in limits), None]
    return cuts


def last_step(chain: Sequence[Link]) -> int:
    """The lineage's last step; NO_STEP without rows. What `run.step` continues from, plus one."""
    last = NO_STEP
    for link, cut in zip(chain, cuts_of(chain), strict=True):
        last = _after(last, link, cut)
    return last


def _after(last: int, link: Link, cut: int | None) -> int:
    return max(last if cut is None else min(last, cut - 1), link.last_step)
