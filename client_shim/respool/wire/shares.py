"""What the shares of several ranks come to: the same rule at the hub, on a node and in a spool without a daemon.

A rank may save a step twice, after a failure or a rewind. Shares of two saves are not one checkpoint, so each carries
how often its rank saved that name and step before: `repeat`. All ranks save together, so they count alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Place(NamedTuple):
    """Of a share: which save of its step it belongs to, and whose it is."""

    repeat: int
    rank: int
    world: int


def of_one_save(shares: Iterable[T], place: Callable[[T], Place]) -> list[T]:
    """Those shares of one name and step, oldest first, that make the checkpoint, by rank: of the newest save that every
    rank took part in, else of the newest. Of two of a rank in one save the later counts.
    """
    saves: dict[int, dict[int, T]] = {}
    for one in shares:
        at = place(one)
        saves.setdefault(at.repeat, {})[at.rank] = one
    whole = [repeat for repeat, ranks in saves.items() if is_whole(map(place, ranks.values()))]
    chosen = saves[max(whole or saves)]
    return [chosen[rank] for rank in sorted(chosen)]


def is_whole(places: Iterable[Place]) -> bool:
    """Whether these are the shares of every rank of one world."""
    found = list(places)
    worlds, ranks = {one.world for one in found}, {one.rank for one in found}
    return len(worlds) == 1 and ranks >= set(range(max(worlds)))


def told_by(metadata: Sequence[Any]) -> dict[str, Any]:
    """A checkpoint's metadata, from those of its shares by rank: of what several said, the lowest rank's counts."""
    merged: dict[str, Any] = {}
    for one in reversed(metadata):
        merged |= one if isinstance(one, dict) else {}
    return merged
