"""What a client hands over beside its rows: snapshots and checkpoints. One per connection."""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from respool.wire.connection import Received
from respool.wire.file_messages import BlobDone, BlobDropped, BlobGrant, BlobRequest, Settle, Stage, Watch
from respool.wire.messages import Message
from respoold.core.attempt import Attempt
from respoold.io import blobs
from respoold.io.reader import Reader
from respoold.tasks import vault
from respoold.tasks.keeper import Keeper

KINDS = (BlobRequest, BlobDone, BlobDropped, Settle, Stage, Watch)

Reply = Callable[[Message, int, list[int]], None]
"""An answer, the request it belongs to, and descriptors that go along and are closed."""


class Deposits:
    """`reply` queues an answer for the client, whose uid the kernel named."""

    def __init__(self, keeper: Keeper, uid: int, reply: Reply) -> None:
        self._keeper, self._uid, self._reply = keeper, uid, reply
        self._count = 0

    async def handle(self, received: Received, reader: Reader | None, nursery: trio.Nursery) -> bool:
        """Answer one of KINDS; False for one that needs an attempt where there is none."""
        message, request = received.message, received.request
        attempt = reader.attempt if reader is not None else None
        if reader is None or attempt is None:
            return False
        if isinstance(message, Settle):
            nursery.start_soon(self._settle, reader, message, request)
        elif isinstance(message, Stage):
            self._reply(vault.stage(self._keeper, attempt, message, received.fds), request, [])
        elif isinstance(message, BlobDone):
            self._reply(await vault.judge(self._keeper, attempt, message), request, [])
            # Behind the answer: to remove a large file takes as long as the trainer would wait.
            nursery.start_soon(vault.let_go, attempt, vault.outlived(self._keeper, attempt))
        elif isinstance(message, Watch):
            if self._keeper.live is not None:
                self._keeper.live.wish(self._uid, reader, message)
        elif isinstance(message, BlobDropped):
            await vault.dropped(attempt, message)
        elif isinstance(message, BlobRequest):
            await self._grant(attempt, message, request)
        return True

    async def _grant(self, attempt: Attempt, message: BlobRequest, request: int) -> None:
        refusal = await vault.make_room(self._keeper, attempt.file.uid, message.size)
        about = f"files of {self._uid}"
        self._count += 1
        token = f"d{os.getpid()}-{trio.current_time():.6f}-{self._count}".replace(".", "")
        if refusal is None:
            try:
                self._reply(BlobGrant(token), request, [blobs.create(attempt.directory, token)])
                self._keeper.resolve(about, attempt.file.uid)
            except OSError as error:
                refusal = f"the spool cannot take it: {error}"
        if refusal is not None:
            self._keeper.warn(refusal, about, attempt.file.uid)
            self._reply(BlobGrant("", refusal), request, [])

    async def _settle(self, reader: Reader, message: Settle, request: int) -> None:
        self._reply(await vault.settle(self._keeper, reader, message), request, [])
