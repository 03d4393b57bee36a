"""How `respool up` is told to stop."""

from __future__ import annotations

import subprocess
import sys

STORM = """
import signal
from respoold.cli.commands.up import Asked

asked, count = Asked(), 0

def handle(number, frame):
    global count
    count += 1
    asked.take(number, frame)

assert not asked.wait(0)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
while count < 300:
    asked.wait(0)
signal.setitimer(signal.ITIMER_REAL, 0)
assert asked.wait(0)
"""


def test_no_signal_is_so_ill_timed_that_it_is_waited_for_for_ever() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STORM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
