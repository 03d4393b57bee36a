"""Lineage and cuts: which rows of which attempts are a run's history. Shared with the hub.

A run's history is the fold along the lineage of its head. An attempt hides its ancestors' rows from its cut
on. Everything here is a function of data that only grows, so it may be asked again at any time.

A trainer that never names a step repeats its ancestors' rows under new steps; how far it is tells an axis
(`respool.wire.axes`). Such a cut never lies behind the attempt's own first step, so that it moves no last step:
who asks only for that need not know any axis.

Nor do such a trainer's steps say where it is. They count on from what it was told when it began; where that was less
than the truth, since nobody who was asked knew what it continues, the fold shifts them behind its ancestors' steps.
What it logs again is found by its axes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from respool.wire.axes import First
from respool.wire.frames import NO_STEP
from respool.wire.limits import HIDES_NOTHING
from respool.wire.repeats import Reach, lower, repeated


class Link(NamedTuple):
    """One attempt as the fold sees it. `first_steps`: the steps of its primary's first rows, two at most.
    `last_step`: of its trainers; guests, who came by join=True, may count as they please. `rewound`: the argument of
    run.rewind(). `ordered`: a cut set by hand (-1: none at all), which wins. `axes`: the first row of its primary on
    each axis. `named`: the script named a step, so that its steps mean what they say; otherwise `floats`: it was not
    told of the parent that it has; `base`: by how much the parent's steps were shifted when it was.
    """

    attempt_id: str
    parent: str | None
    first_steps: tuple[int, ...] = ()
    last_step: int = NO_STEP
    rewound: int | None = None
    ordered: int | None = None
    axes: Mapping[str, First] = {}
    named: bool = True
    floats: bool = False
    base: int = 0

    @property
    def explicit(self) -> bool:
        """Whether somebody said where it cuts."""
        return self.rewound is not None or self.ordered is not None


class Visible(NamedTuple):
    """Of this attempt, the rows with step < `limit` belong to the history (None: all of them); of its guests those
    with step < `guests`, which only explicit cuts lower. A trainer that logs steps again logs what it hides; nobody
    evaluates again what a guest did. Limits are in the attempt's own steps, to which the history adds `shift`.
    """

    attempt_id: str
    limit: int | None
    guests: int | None = None
    shift: int = 0

    def seen(self, step: int | None) -> int | None:
        """A step of its own, as the history has it."""
        return None if step is None else step + self.shift


class Placed(NamedTuple):
    """Where an attempt stands in the history: the step from which it hides its ancestors' rows, and what its own
    steps are shifted by.
    """

    cut: int | None
    shift: int = 0


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
    return limited(chain, placed(chain, reach))


def limited(chain: Sequence[Link], places: Sequence[Placed]) -> list[Visible]:
    """The same, when the places are known."""
    result: list[Visible] = []
    limit: int | None = None
    guests: int | None = None
    for link, (cut, shift) in zip(reversed(chain), reversed(places), strict=True):
        result.append(Visible(link.attempt_id, _back(limit, shift), _back(guests, shift), shift))
        limit = lower(limit, cut)
        guests = lower(guests, cut) if link.explicit else guests
    return result[::-1]


def _back(limit: int | None, shift: int) -> int | None:
    return None if limit is None else limit - shift


def placed(chain: Sequence[Link], reach: Reach | None = None) -> list[Placed]:
    """The place of each attempt of a lineage, oldest first; cuts are in the history's steps."""
    found: list[Placed] = []
    limits: list[int | None] = []
    for link, shift, last in _shifted(chain):
        cut = cut_of(link, last)
        if reach is not None and link.axes and not link.explicit:
            shifts = {one.attempt_id: place.shift for one, place in zip(chain, found, strict=False)}
            cut = lower(
                cut, repeated(link.axes, list(zip(shifts, limits, strict=True)), _seen(reach, shifts))
            )
        found.append(Placed(cut, shift))
        limits = [*(lower(limit, cut) for limit in limits), None]
    return found


def _seen(reach: Reach, shifts: Mapping[str, int]) -> Reach:
    def seen(attempt_id: str, axis: str, value: float) -> int | None:
        step = reach(attempt_id, axis, value)
        return None if step is None else step + shifts[attempt_id]

    return seen


def last_step(chain: Sequence[Link]) -> int:
    """The lineage's last step; NO_STEP without rows. What `run.step` continues from, plus one."""
    last = NO_STEP
    for link, _, before in _shifted(chain):
        last = _after(before, link)
    return last


def _shifted(chain: Sequence[Link]) -> Iterator[tuple[Link, int, int]]:
    """Each attempt with its steps as the history has them, what they are shifted by, and the last one before it."""
    last, shift, floats = NO_STEP, 0, False
    for link in chain:
        floats = not link.named and (link.floats or floats)
        shift = _shift(link, floats, last, shift)
        moved = _moved(link, shift, floats=floats)
        yield moved, shift, last
        last = _after(last, moved)
        floats = floats and not link.first_steps


def _shift(link: Link, floats: bool, last: int, parents: int) -> int:
    if link.named or (floats and link.rewound is not None):
        return 0
    first = link.first_steps[0] if link.first_steps else 0
    if floats:
        return max(0, last + 1 - first) if last != NO_STEP else 0
    return max(-first, parents - link.base)


def _moved(link: Link, shift: int, *, floats: bool) -> Link:
    if not shift:
        return link
    steps = tuple(step + shift for step in link.first_steps)
    last = link.last_step if link.last_step == NO_STEP else link.last_step + shift
    rewound = link.rewound if link.rewound is None or floats else link.rewound + shift
    return link._replace(first_steps=steps, last_step=last, rewound=rewound)


def _after(last: int, link: Link) -> int:
    cut = cut_of(link, last)
    return max(last if cut is None else min(last, cut - 1), link.last_step)
