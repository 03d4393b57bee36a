"""The shelf: acknowledged segments, kept a while for a hub that is put back from a backup, and cleared for room."""

from __future__ import annotations

import os
from typing import NoReturn

import trio

from respool.wire.segment import segment_name
from respoold.config import Config
from respoold.core.attempt import Attempt
from respoold.core.node import Node
from respoold.core.spent import Segment, Spent
from respoold.io import files, segments
from respoold.tasks.notes import Notes

LOOK_SECONDS = 60.0


class Shelf:
    """Every user's. `touched` holds the attempts that may be done with since it was last looked at."""

    def __init__(self, config: Config, node: Node, notes: Notes) -> None:
        self._config, self._node, self._notes = config, node, notes
        self._users: dict[int, Spent] = {}
        self.touched: set[str] = set()

    def put(self, attempt: Attempt, writer: int, indexes: list[int]) -> None:
        """The hub has these segments. Some of the user's go now if they are too many."""
        spent = self._users.setdefault(attempt.file.uid, Spent(self._config.rows_quota))
        for index in indexes:
            size = files.allocated(os.path.join(attempt.directory, segment_name(writer, index)))
            spent.add(Segment(attempt.id, writer, index, size, trio.current_time()))
        self._delete(spent.due(trio.current_time()))

    def clear(self, uid: int) -> bool:
        """Make room: everything that this user has on the shelf goes. Says whether there was anything."""
        spent = self._users.get(uid)
        found = [spent.oldest() for _ in range(len(spent))] if spent is not None else []
        self._delete(found)
        return bool(found)

    def forget(self, attempt: Attempt, writer: int | None = None) -> None:
        """The attempt is no more, or what this writer (None: all of them) wrote is sent again."""
        spent = self._users.get(attempt.file.uid)
        if spent is not None:
            spent.forget(attempt.id, writer)

    async def age_forever(self) -> NoReturn:
        """Let go what has been kept long enough, until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            for spent in self._users.values():
                self._delete(spent.due(trio.current_time()))

    def _delete(self, found: list[Segment]) -> None:
        """What they amounted to is saved before."""
        for attempt_id in dict.fromkeys(one.attempt_id for one in found):
            attempt = self._node.get(attempt_id)
            if attempt is None:
                continue
            mine = [one for one in found if one.attempt_id == attempt_id]
            if not self._notes.alone(attempt):
                self._put_back(attempt.file.uid, mine)
                continue
            for writer, index in {one.writer: one.number for one in mine}.items():
                attempt.rebase(writer, index + 1)
            self._notes.save(attempt)
            for one in mine:
                segments.delete(attempt.directory, one.writer, one.number)
            self._notes.share(attempt)
            self.touched.add(attempt_id)

    def _put_back(self, uid: int, found: list[Segment]) -> None:
        """Somebody else reads them: another time."""
        for one in found:
            self._users[uid].add(one)
