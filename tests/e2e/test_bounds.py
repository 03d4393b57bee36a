"""Promise P6 in seconds: whatever is wrong around a trainer, no call of its loop takes longer than it says.

The bounds are generous: a busy machine must not break them, a call that waits for somebody it need not wait for must.
"""

from __future__ import annotations

import pytest

from bench.bounds import lived
from bench.faults import DaemonKilled, DaemonStopped, DiskFull, Fault, HubDead, HubHangs, QuotaFull
from e2e.marks import slowly

BUSY = 2.5
"""Seconds that a busy machine may add to any call but log()."""

SLOWEST = 0.25
"""Seconds of the slowest log()."""


@pytest.mark.parametrize(
    ("fault", "early"),
    [
        (HubDead, False),
        slowly(HubDead, True),
        slowly(HubHangs, False),
        slowly(HubHangs, True),
        (DaemonStopped, False),
        slowly(DaemonStopped, True),
        slowly(DaemonKilled, False),
        (DaemonKilled, True),
        (QuotaFull, False),
        slowly(QuotaFull, True),
        (DiskFull, False),
        slowly(DiskFull, True),
    ],
)
def test_no_call_of_a_training_loop_waits_longer_than_it_says(fault: type[Fault], early: bool) -> None:
    if not fault.possible():
        pytest.skip("nobody but root may mount a small disk")
    found = lived(fault, early=early)
    for call in ("init", "again", "save", "finish"):
        if call in found:
            assert found[call]["seconds"] < fault.waits.get(call, 0.0) + BUSY, (call, found)
    for turn in ("log", "more"):
        assert found[turn]["max"] < SLOWEST * 1e6, found
    if fault is DiskFull and not early:
        assert found["more"]["lost"] > 0, "the disk was not full"
        assert not found["save"]["kept"]
