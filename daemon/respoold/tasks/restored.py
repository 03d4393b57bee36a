"""A hub whose data are not those it had: attempts are registered again, and what still lies here is sent again.

What it lost and nobody here has any more becomes a LOSS, so that the stream goes on; what it has it skips.
"""

from __future__ import annotations

import trio

from respoold.core.attempt import Attempt
from respoold.io import blobs
from respoold.io.reader import Reader
from respoold.tasks.keeper import Keeper
from respoold.tasks.uplink import Uplink


def met(keeper: Keeper, uplink: Uplink, incarnation: str) -> None:
    """The hub has answered as this incarnation of its data."""
    if uplink.incarnation == incarnation:
        return
    uplink.incarnation = incarnation
    for attempt in keeper.node:
        if keeper.uplink_of(attempt) is uplink:
            if attempt.incarnation not in {"", incarnation}:
                send_again(keeper, attempt)
                said = f"the hub at {uplink.url} was put back from a backup; what this node still has is sent again"
                keeper.warn(said, f"restored {uplink.url}")
            attempt.incarnation = incarnation


def unknown(keeper: Keeper, attempt: Attempt) -> None:
    """The hub says that it does not know an attempt that it knew; to who has lost the right to it, it says the same."""
    text = f"{'/'.join(attempt.run)}: the hub knows it no more; what this node still has is sent again"
    keeper.warn(text, f"unknown {attempt.id}", attempt.file.uid)
    send_again(keeper, attempt)


def send_again(keeper: Keeper, attempt: Attempt) -> None:
    """The hub may know nothing of this attempt: tell it everything."""
    there = set(blobs.tokens(attempt.directory))
    attempt.forget_hub(there)
    for reader in keeper.readers_of(attempt):
        read_again(keeper, reader, 0)
    keeper.offer(attempt)


def read_again(keeper: Keeper, reader: Reader, next_seq: int) -> None:
    """The hub has the records of this writer before `next_seq` only."""
    keeper.shelf.forget(reader.attempt, reader.writer)
    reader.begin_again(next_seq, trio.current_time())
    keeper.attend(reader)
