"""A connection that ended just now, while others still have something to say to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from respool.wire.file_messages import Watched
from respool.wire.messages import Notice, Spare
from respoold.tasks.intake import Client
from unit.tasks.kit import a_keeper


@pytest.mark.parametrize("message", [Watched(["x"]), Notice("preempting", "soon"), Spare(1, 10)])
async def test_what_is_said_to_one_that_has_just_hung_up_is_dropped_and_its_descriptors_are_closed(
    tmp_path: Path, message: object
) -> None:
    ours, theirs = trio.socket.socketpair()
    with ours, theirs:
        async with a_keeper(str(tmp_path / "spool")) as keeper:
            client = Client(keeper, ours)
            client.protocol.receive_data(b"")
            fd = os.open(os.devnull, os.O_RDONLY)
            client.queue(message, fds=[fd])
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
            client.leave()
