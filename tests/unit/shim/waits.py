"""Waiting for what another thread or process does."""

from __future__ import annotations

import time


def until(true, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.002)
