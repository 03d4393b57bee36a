"""Full-jitter exponential backoff, for ever: only the quota decides when waiting has been too long.

delay(n) = jitter * min(cap, base * 2**n), jitter uniform in [0, 1), as in "Exponential Backoff And Jitter"
(AWS Architecture Blog, 2015). The jitter is the caller's, so that this stays pure.
"""

from __future__ import annotations

BASE_SECONDS = 1.0
CAP_SECONDS = 30.0
RETRY_AFTER_CAP = 3600.0


def delay(failures: int, jitter: float, retry_after: float | None = None) -> float:
    """Seconds to wait after the `failures`-th failure in a row. A server's Retry-After wins, up to an hour."""
    if retry_after is not None:
        return min(max(retry_after, 0.0), RETRY_AFTER_CAP)
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(failures, 16))
    return jitter * ceiling
