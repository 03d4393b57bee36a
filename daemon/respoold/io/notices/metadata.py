"""A cloud's metadata service: HTTP on a link-local address, never through a proxy, every answer small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol, Self

import httpx
import trio

from respoold.core.backoff import delay
from respoold.core.notice import Event

Tell = Callable[[Event], None]
MAX_ANSWER = 1 << 20
ANSWER_SECONDS = 5.0


class Source(Protocol):
    """See the package's own text."""

    async def watch(self, tell: Tell) -> None: ...


class Answer(NamedTuple):
    """`status` 0: there was none. `body`: of a 200 alone."""

    status: int
    body: str = ""
    etag: str = ""


class Metadata:
    """Requests to one service at `base`. Raises nothing: no answer is an answer too."""

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        self._client = httpx.AsyncClient(base_url=base, headers=dict(headers), trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.move_on_after(1, shield=True):
            await self._client.aclose()

    async def ask(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", seconds: float = 0.0
    ) -> Answer:
        """One exchange, within `seconds`, 5 unless given."""
        answer = Answer(0)
        with trio.move_on_after(seconds or ANSWER_SECONDS), suppress(httpx.HTTPError, httpx.InvalidURL):
            timeout = httpx.Timeout(seconds or ANSWER_SECONDS, connect=ANSWER_SECONDS)
            request = self._client.build_request(method, path, headers=headers, timeout=timeout)
            response = await self._client.send(request, stream=True)
            try:
                answer = await _read(response)
            finally:
                with trio.move_on_after(1, shield=True):
                    await response.aclose()
        return answer


async def _read(response: httpx.Response) -> Answer:
    body, size = b"", 0
    async for part in response.aiter_bytes():
        # Read to its end, or for as long as an exchange may take: httpx's generators cannot be left in the middle.
        size += len(part)
        body = body + part if size <= MAX_ANSWER else b""
    if size > MAX_ANSWER:
        return Answer(0)
    text = body.decode("utf-8", "replace") if response.status_code == httpx.codes.OK else ""
    return Answer(response.status_code, text, response.headers.get("ETag", ""))


class Patience:
    """How long to wait after failures in a row. `period` after a success."""

    def __init__(self, period: float, jitter: Callable[[], float]) -> None:
        self._period = period
        self._jitter = jitter
        self._failures = 0

    async def pause(self, *, answered: bool) -> None:
        """Sleep until the next question is due."""
        self._failures = 0 if answered else self._failures + 1
        waited = delay(self._failures, self._jitter()) if self._failures else 0.0
        await trio.sleep(self._period + waited)
