"""EC2 by IMDSv2: the interruption notice of a spot instance, and the recommendation to rebalance before it.

Containers cannot reach the service by default (its answers have a hop limit of 1), a daemon of the host can. Only
a spot instance has anything to ask about. AWS asks for no more than one question every five seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import trio

from respoold.core.notice import Event, Withdrawn
from respoold.core.notice_words import EC2_REBALANCE, EC2_SPOT, ec2_action, ec2_rebalance
from respoold.io.notices.metadata import Answer, Metadata, Patience, Tell

BASE = "http://169.254.169.254"
PERIOD = 5.0
TOKEN_SECONDS = 21600
_TTL, _TOKEN = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
_LIFE = "/latest/meta-data/instance-life-cycle"
_LIVES = frozenset({"spot", "on-demand", "scheduled", "capacity-block"})
_QUESTIONS = (
    ("/latest/meta-data/spot/instance-action", EC2_SPOT, ec2_action),
    ("/latest/meta-data/events/recommendations/rebalance", EC2_REBALANCE, ec2_rebalance),
)


class Ec2:
    """Asks every `period` seconds."""

    def __init__(self, base: str, jitter: Callable[[], float], period: float = PERIOD) -> None:
        self._metadata = Metadata(base, {})
        self._patience = Patience(period, jitter)
        self._token = ""

    async def watch(self, tell: Tell) -> NoReturn:
        async with self._metadata:
            await self._watch(tell)

    async def _watch(self, tell: Tell) -> NoReturn:
        while (life := (await self._get(_LIFE)).body.strip()) not in _LIVES:
            await self._patience.pause(answered=False)
        if life != "spot":
            await trio.sleep_forever()
        while True:
            noticed, _ = [await self._question(tell, *one) for one in _QUESTIONS]
            # Advice that cannot be had slows no notice.
            await self._patience.pause(answered=noticed)

    async def _question(
        self, tell: Tell, path: str, source: str, read: Callable[[str], Event | None]
    ) -> bool:
        answer = await self._get(path)
        if answer.status == 404:
            tell(Withdrawn(source))
        event = read(answer.body) if answer.status == 200 else None
        if event is not None:
            tell(event)
        return answer.status in {200, 404}

    async def _get(self, path: str) -> Answer:
        """With a token; one that is refused is renewed, once."""
        for _ in range(2):
            if not self._token:
                given = await self._metadata.ask("/latest/api/token", {_TTL: str(TOKEN_SECONDS)}, "PUT")
                self._token = given.body.strip() if given.status == 200 else ""
            if not self._token.isascii() or not self._token.isprintable() or not self._token:
                return Answer(0)
            answer = await self._metadata.ask(path, {_TOKEN: self._token})
            if answer.status != 401:
                return answer
            self._token = ""
        return Answer(401)
