"""A wake-up that coalesces: many rings, one waking. Nothing is lost, for whoever wakes looks at everything."""

from __future__ import annotations

import trio


class Doorbell:
    """`ring` from anywhere on the trio thread; one task waits."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Until it has been rung since the last wait."""
        await self._event.wait()
        self._event = trio.Event()


class Progress:
    """Many wait for something to move on; each looks for himself whether it was what he wanted."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def moved(self) -> None:
        event, self._event = self._event, trio.Event()
        event.set()

    async def wait(self) -> None:
        await self._event.wait()
