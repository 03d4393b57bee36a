"""The breaker: is the hub there? One per hub, fed by every request's outcome.

    CLOSED --failure--> OPEN --time--> one probe --success--> CLOSED
                          ^------failure-----'

While it is open nothing is sent but one probe at a time, and an attach is answered from the journal at once.
The count of failures is reset by a success only, never by a connection that merely opened.
"""

from __future__ import annotations

from respoold.core.backoff import delay


class Breaker:
    """`since` is when the present state began; `why` the last failure's cause."""

    def __init__(self, now: float) -> None:
        self.failures = 0
        self.since = now
        self.why: str | None = None
        self._probe_at = now
        self._probing = False

    @property
    def closed(self) -> bool:
        return self.failures == 0

    def may_send(self, now: float) -> bool:
        """Whether a request may go out now. While open, the one that is let through is the probe."""
        if self.closed:
            return True
        if self._probing or now < self._probe_at:
            return False
        self._probing = True
        return True

    def succeeded(self, now: float) -> bool:
        """A request was answered. True when that closes the breaker."""
        reopened = self.failures > 0
        if reopened:
            self.since = now
        self.failures, self._probing, self.why = 0, False, None
        return reopened

    def failed(self, now: float, jitter: float, why: str, retry_after: float | None = None) -> None:
        """A request was not answered, or the hub asked for patience. Of several that were under way together
        one counts: an outage begins with the shortest pause, however many requests it broke.
        """
        if self.closed:
            self.since = now
        elif not self._probing:
            return
        self._probe_at = now + delay(self.failures, jitter, retry_after)
        self.failures += 1
        self._probing = False
        self.why = why

    @property
    def wake_at(self) -> float:
        """When the next probe is due; meaningless while closed."""
        return self._probe_at
