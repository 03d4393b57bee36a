"""Who wants something back, and what it shows to the hub for that."""

from __future__ import annotations

from typing import NamedTuple

from respoold.core.attempt import Attempt
from respoold.io.hub import HubDoor
from respoold.tasks.keeper import Keeper
from respoold.tasks.uplink import Uplink

RunPath = tuple[str | None, str, str]
"""(entity, project, run id); None for the entity that the hub takes for whoever asks."""


class Asker(NamedTuple):
    """A client: its uid by the kernel's word, the attempt that it logs into, and its own key if it showed one."""

    uid: int
    attempt: Attempt | None = None
    key: str = ""

    def uplink(self, keeper: Keeper) -> Uplink | None:
        """The way to its hub; None where there is none."""
        return keeper.uplinks.of(self.uid, self.attempt.request.hub if self.attempt else None)

    def door(self, keeper: Keeper, run: RunPath) -> HubDoor | None:
        """The hub for this client; None where there is none. A token is good for its own run only: for others of its
        user the key is shown.
        """
        uplink = self.uplink(keeper)
        if uplink is None:
            return None
        own = self.attempt is not None and self.attempt.pass_.own
        return (
            uplink.door(self.key)
            if own and self.key and not self._is_mine(run)
            else uplink.door_of(self.attempt)
        )

    def _is_mine(self, run: RunPath) -> bool:
        mine = self.attempt
        return mine is not None and mine.run == run[1:] and run[0] in {None, mine.entity}
