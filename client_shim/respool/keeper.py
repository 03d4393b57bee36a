"""Who keeps an attempt's records: a daemon behind a tether, the local spool, or nobody (disabled)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from respool.saving import Room
from respool.segment_writer import Opened, Supply
from respool.tether import Tether
from respool.wire.messages import Attached

if TYPE_CHECKING:
    from respool.local_spool import LocalSpool
    from respool.local_watch import LocalWatch


class Keeper:
    """What an attach came to. `opened` is the first segment, which the run's writer takes over; None when
    nothing is kept. `spool` is the folder of the local spool when that is who keeps it, `fleeting` why it will
    not outlast the job.
    """

    def __init__(
        self,
        attached: Attached,
        opened: Opened | None,
        *,
        tether: Tether | None = None,
        local: LocalSpool | None = None,
        spool: str | None = None,
        watch: LocalWatch | None = None,
    ) -> None:
        self.attached = attached
        self.opened = opened
        self.tether = tether
        self.local = local
        self.spool = spool
        self.fleeting = None if spool is None else _fleeting(spool)
        self.watch = watch
        self.room = Room(attached.directory, tether)

    @property
    def supply(self) -> Supply:
        """Where further segments come from."""
        found = self.tether or self.local
        assert found is not None, "a keeper of nothing has no segments"
        return found

    def close(self) -> None:
        """Close the tether. The writer's descriptors are the writer's."""
        if self.tether is not None:
            self.tether.close()


def _fleeting(spool: str) -> str | None:
    """Asked at the beginning: a named tuple that is only defined at the interpreter's end makes it forget that it
    ends by Ctrl-C, and the shell with it.
    """
    from respool import lasting  # noqa: PLC0415 - runs with a daemon do not need it

    return lasting.fleeting(spool, lasting.surroundings())
