"""What ties a live attempt to its daemon: doorbell, spare segments, notices, and coming back after a death.

Nothing here waits but `ask`, which has a deadline. Everything else is done in passing, inside the trainer's
own calls: there is no thread. When the daemon goes, the tether is loose and the trainer writes on; it is tried
again with pauses that grow to 30 s, and a daemon that answers is told Reattach and sends the next spare.

A lock keeps threads apart. Who finds it taken passes by; `ask` waits for it, except when its own thread holds
it, that is in a signal handler that interrupted a turn: then there is no answer to be had.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from respool import notices
from respool.link import Link, LinkError, close_all
from respool.segment_writer import Opened, SegmentWriter
from respool.wire.connection import Received
from respool.wire.file_messages import Changed, Watched
from respool.wire.messages import Notice, Reattach, Reattached, Refused, Ring, Rolled, Spare, Waiting

_PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_AWAY_SECONDS = 60.0
_PASS_SECONDS = 0.05


class Tether:
    """A Supply of segments from the daemon. Takes over `link` and `spare`; `follow` names who uses them. `key` finds
    the user's own key for a daemon that came back, `owed` the message and the descriptors that it is handed again, if
    any. `deaf`: the last `ask` had no answer. `news`: what it said of files that it watches, for the run to take;
    `returns`: how often it came back, and knew of none.
    """

    synced_by_daemon = True

    def __init__(self, link: Link, client: str, attempt_id: str, writer: int, spare: Opened | None) -> None:
        self.full = False
        self.deaf = False
        self._link: Link | None = link
        self._path, self._client = link.path, client
        self._attempt_id, self._writer_number = attempt_id, writer
        self._spare = spare
        self.key: Callable[[Link], str | None] = lambda _: None
        self.owed: Callable[[], tuple[Any, list[int]] | None] = lambda: None
        self.news: deque[Watched | Changed] = deque()
        self.returns = 0
        self._owing = False
        self._on_notice: Callable[[Notice], None] | None = None
        self._writer: SegmentWriter | None = None
        self._lock = threading.Lock()
        self._holder = 0
        self._reattaching = False
        self._outbox: deque[Any] = deque()
        self._failures = 0
        self._next_try = 0.0
        self._lost_at = 0.0
        link.on_message = self._receive

    def follow(self, writer: SegmentWriter, on_notice: Callable[[Notice], None]) -> None:
        """This writer uses the segments that the daemon sends; `on_notice` hears what else it says."""
        self._writer, self._on_notice = writer, on_notice

    @property
    def path(self) -> str:
        """The daemon's socket."""
        return self._path

    @property
    def away(self) -> bool:
        """Whether there is no connection to any daemon."""
        return self._link is None or not self._link.alive

    @property
    def attached(self) -> bool:
        """Whether the daemon is there and knows this attempt."""
        return self._link is not None and self._link.open and not self._reattaching

    def take(self, segment: int) -> Opened | None:
        """The spare, if it is the one wanted."""
        spare = self._spare
        if spare is None or spare.segment != segment:
            return None
        self._spare = None
        return spare

    def rolled(self, segment: int) -> None:
        """Tell the daemon that the segment before is complete."""
        self._outbox.append(Rolled(segment))
        self._in_passing(self._flush)

    def say(self, message: Any) -> None:
        """Send something that needs no answer; a daemon that is away does not hear it."""
        self._outbox.append(message)
        self._in_passing(self._flush)

    def upkeep(self, *, urgent: bool = False) -> None:
        """One turn: ring, take what came, try to come back. Never waits."""
        self._in_passing(lambda: self._turn(urgent=urgent))

    def ask(
        self,
        message: Any,
        seconds: float,
        waiting: Callable[[Waiting], None] | None = None,
        fds: list[int] | None = None,
    ) -> Received | None:
        """A request, with `fds` if any, and its answer; None when there is none within `seconds`."""
        deadline = monotonic() + seconds
        if not self._enter(seconds):
            return None
        self.deaf = True
        try:
            if self.away:
                self._reconnect()
            link = self._link
            if link is None or not link.wait(lambda: self.attached, min(deadline, monotonic() + 5.0)):
                return None
            answer = link.ask(message, deadline, waiting, fds)
        except LinkError:
            return None
        else:
            self.deaf = False
            return answer
        finally:
            self._leave()

    def close(self) -> None:
        """Close the socket and an unused spare."""
        if self._link is not None:
            self._link.close()
        self._link = None
        spare, self._spare = self._spare, None
        if spare is not None:
            close_all([spare.fd])

    def _in_passing(self, act: Callable[[], None]) -> None:
        if self._enter(0.0):
            try:
                act()
            finally:
                self._leave()

    def _enter(self, seconds: float) -> bool:
        me = threading.get_ident()
        if self._holder == me or not self._lock.acquire(timeout=seconds):
            return False
        self._holder = me
        return True

    def _leave(self) -> None:
        self._holder = 0
        self._lock.release()

    def _turn(self, *, urgent: bool) -> None:
        if self._link is None or not self._link.alive:
            self._loose()
            return
        # A daemon that does not read (SIGSTOP) gets no second ring on top of the first.
        if self.attached and (urgent or self._link.idle):
            self._link.send(Ring(urgent))
        self._link.pump()
        self._flush()
        if self._link.refused is not None:
            self._link.close()

    def _flush(self) -> None:
        """Send what was put aside. While the daemon is away it is dropped: Reattach says it all."""
        while self._outbox:
            message = self._outbox.popleft()
            if self._link is not None and self.attached:
                self._link.send(message)
        if self._owing and self._link is not None and self.attached:
            self._owing = False
            owed = self.owed()
            if owed is not None:
                with suppress(LinkError):
                    self._link.pass_on(*owed, monotonic() + _PASS_SECONDS)

    def _loose(self) -> None:
        now = monotonic()
        if self._link is not None:
            self._link = None
            self._lost_at = self._lost_at or now
            self._pause(now)
        elif now >= self._next_try:
            self._reconnect()
        if self._lost_at and now - self._lost_at > _AWAY_SECONDS:
            notices.warn("away", "the daemon is away; rows are kept in the spool and sent when it is back.")

    def _pause(self, now: float) -> None:
        self._next_try = now + _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1

    def _reconnect(self) -> None:
        try:
            self._link = Link(self._path, self._client, self._receive)
        except LinkError:
            self._pause(monotonic())
            return
        self._reattaching = True
        self._link.on_welcome = self._greeted
        self._link.pump()

    def _greeted(self) -> None:
        if self._link is not None and self._writer is not None:
            place = (self._attempt_id, self._writer_number, self._writer.segment)
            self._link.send(Reattach(*place, self.key(self._link)))

    def _receive(self, received: Received) -> None:
        match received.message:
            case Spare() as spare:
                self._take_spare(spare, received.fds)
                return
            case Reattached():
                self._reattaching, self._owing = False, True
                self._failures, self._lost_at = 0, 0.0
                self.returns += 1
                self.news.clear()
                self._outbox.append(Ring(urgent=True))
            case Refused() as refused:
                notices.warn(
                    "reattach", notices.joined(refused.cause, refused.advice, "Rows are kept in the spool.")
                )
                if self._link is not None:
                    self._link.close()
            case Watched() | Changed() as news:
                self.news.append(news)
            case Notice() as notice if self._on_notice is not None:
                self._on_notice(notice)
        close_all(received.fds)

    def _take_spare(self, spare: Spare, fds: list[int]) -> None:
        writer = self._writer
        if writer is None:
            close_all(fds)
            return
        with writer.lock:
            self.full = spare.full
            if not fds or spare.segment <= writer.segment:
                close_all(fds)
                writer.look_again()
                return
            close_all(fds[1:])
            opened = Opened(fds[0], spare.segment, spare.capacity)
            if spare.roll:
                writer.move(opened)
                return
            old, self._spare = self._spare, opened
            if old is not None:
                close_all([old.fd])
            writer.look_again()
