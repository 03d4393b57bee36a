"""Google Compute Engine: `preempted` and `maintenance-event`, each asked with a request that hangs until it changes.

The service announces a maintenance only to whoever has asked for it since the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import NoReturn

import trio

from respoold.core.notice import Event
from respoold.core.notice_words import gcp_maintenance, gcp_preempted
from respoold.io.notices.metadata import Metadata, Patience, Tell

BASE = "http://169.254.169.254"
HANG_SECONDS = 60.0
"""How long the service is asked to wait for a change: an address that is gone is then noticed, too."""
SLACK_SECONDS = 10.0
_INSTANCE = "/computeMetadata/v1/instance/"


class Gcp:
    """`hang`: seconds that one question may wait for a change."""

    def __init__(self, base: str, jitter: Callable[[], float], hang: float = HANG_SECONDS) -> None:
        headers = {"Metadata-Flavor": "Google", "Host": "metadata.google.internal"}
        self._metadata = Metadata(base, headers)
        self._jitter = jitter
        self._hang = hang

    async def watch(self, tell: Tell) -> None:
        async with self._metadata, trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, "preempted", gcp_preempted, tell)
            nursery.start_soon(self._follow, "maintenance-event", gcp_maintenance, tell)

    async def _follow(self, name: str, read: Callable[[str, float], Event | None], tell: Tell) -> NoReturn:
        patience, etag, before = Patience(0.0, self._jitter), "", ""
        while True:
            asked = f"{_INSTANCE}{name}?wait_for_change=true&timeout_sec={self._hang:.0f}"
            began = trio.current_time()
            answer = await self._metadata.ask(
                asked + (f"&last_etag={etag}" if etag else ""), seconds=self._hang + SLACK_SECONDS
            )
            event = read(answer.body, time()) if answer.status == 200 else None
            if event is not None and answer.body != before:
                # Said once: the deadline counts from when it was first heard.
                before = answer.body
                tell(event)
            etag = answer.etag if event is not None and answer.etag.isalnum() else ""
            # A service that does not hang must not be asked in a tight loop.
            hasty = not etag and trio.current_time() - began < 1.0
            await patience.pause(answered=event is not None and not hasty)
