"""SLURM: one `squeue` for all jobs of the cluster, by the one daemon that the hub lets ask.

Off until the administrator turns it on. A question every 30 s at least, with jitter, and fewer the more often they
fail. See `respoold.core.bulletin` for how the others hear of it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import time
from typing import NoReturn

import trio

from respoold.core.bulletin import MAX_JOBS, Found
from respoold.core.notice_words import slurm_near, slurm_queue
from respoold.io.notices.metadata import Tell

SHORTEST = 30.0
SLOWEST = 600.0
ANSWER_SECONDS = 20.0
COLUMNS = "JobArrayID:60,PreemptTime:24,StartTime:24,EndTime:24"
SQUEUE = ("squeue", "--noheader", "--array", "--states=RUNNING", f"--Format={COLUMNS}")


class Slurm:
    """`led` gives the clusters that may be asked, `publish` takes what was found. `warning`: seconds before a job's
    time limit from which it is a notice.
    """

    def __init__(
        self,
        led: Callable[[], list[str]],
        publish: Callable[[str, Found], None],
        jitter: Callable[[], float],
        period: float = SHORTEST,
        warning: float = 0.0,
        command: Sequence[str] = SQUEUE,
    ) -> None:
        self._led, self._publish = led, publish
        self._jitter = jitter
        self._period = period
        self._warning = warning
        self._command = list(command)

    async def watch(self, _: Tell) -> NoReturn:
        """What it finds goes to the hub, which tells all daemons, this one too."""
        pause = self._period
        while True:
            # Full jitter on top: a controller that was restarted is not asked by all clusters at once.
            await trio.sleep(pause * (1.0 + self._jitter() / 2))
            well = all([await self._ask(cluster) for cluster in self._led()[:1]])
            pause = self._period if well else min(2 * pause, SLOWEST)

    async def _ask(self, cluster: str) -> bool:
        """Whether the controller answered."""
        text = await _output(self._command)
        if text is None:
            return False
        near = slurm_near(slurm_queue(text), time(), self._warning)
        self._publish(cluster, {name: list(found) for name, found in list(near.items())[:MAX_JOBS]})
        return True


async def _output(argv: list[str]) -> str | None:
    """What a command prints; None when it fails, or takes too long."""
    environ = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
    with trio.move_on_after(ANSWER_SECONDS), suppress(OSError):
        done = await trio.run_process(
            argv, capture_stdout=True, stderr=subprocess.DEVNULL, stdin=b"", check=False, env=environ
        )
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
    return None
