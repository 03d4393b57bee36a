"""Azure's Scheduled Events. Nothing is ever acknowledged: that would shorten the time that is left.

The list is of a whole group of machines; this one's own name in it is asked of the service, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from respoold.core.notice_words import azure_events
from respoold.io.notices.metadata import Metadata, Patience, Tell

BASE = "http://169.254.169.254"
PERIOD = 1.0
"""Microsoft's own advice: of thirty seconds' notice none is to be wasted."""
FIRST_SECONDS = 150.0
"""The first question of a machine's life switches the feature on, and may be answered after two minutes."""
_NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
_MACHINE = re.compile(r"[\w.-]{1,64}")
_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"


class Azure:
    """Asks every `period` seconds."""

    def __init__(self, base: str, jitter: Callable[[], float], period: float = PERIOD) -> None:
        self._metadata = Metadata(base, {"Metadata": "true"})
        self._patience = Patience(period, jitter)

    async def watch(self, tell: Tell) -> NoReturn:
        async with self._metadata:
            await self._watch(tell)

    async def _watch(self, tell: Tell) -> NoReturn:
        while not _MACHINE.fullmatch(machine := (await self._metadata.ask(_NAME)).body.strip()):
            await self._patience.pause(answered=False)
        answered = False
        while True:
            answer = await self._metadata.ask(_EVENTS, seconds=0.0 if answered else FIRST_SECONDS)
            event = azure_events(answer.body, machine) if answer.status == 200 else None
            if event is not None:
                tell(event)
            answered = event is not None
            await self._patience.pause(answered=answered)
