"""SLURM: asks the controller about the jobs that log here, one `scontrol` a job.

Off until the administrator turns it on: a controller that hundreds of nodes ask every few seconds is an outage. So
there is one question per job and period, which is 30 s at least, with jitter, and fewer the more often it fails.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import time
from typing import NoReturn

import trio

from respoold.core.notice_words import slurm_events, slurm_job
from respoold.io.notices.metadata import Tell

SHORTEST = 30.0
SLOWEST = 600.0
ANSWER_SECONDS = 10.0
_JOB = re.compile(r"slurm:(?:[^:]*:)?(\d+(?:_\d+)?)")


class Slurm:
    """`jobs` gives the identities of the jobs that have living trainers here. `warning`: seconds before a job's time
    limit from which it is a notice; `command` comes before `-o show job ID`.
    """

    def __init__(
        self,
        jobs: Callable[[], set[str]],
        jitter: Callable[[], float],
        period: float = SHORTEST,
        warning: float = 0.0,
        command: Sequence[str] = ("scontrol",),
    ) -> None:
        self._jobs = jobs
        self._jitter = jitter
        self._period = period
        self._warning = warning
        self._command = list(command)

    async def watch(self, tell: Tell) -> NoReturn:
        pause = self._period
        while True:
            # Full jitter on top: nodes that were started together do not ask together.
            await trio.sleep(pause * (1.0 + self._jitter() / 2))
            well = all([await self._ask(identity, tell) for identity in sorted(self._jobs())])
            pause = self._period if well else min(2 * pause, SLOWEST)

    async def _ask(self, identity: str, tell: Tell) -> bool:
        """Whether the controller answered. A job that it knows no more is one that has ended."""
        named = _JOB.fullmatch(identity)
        if named is None:
            return True
        text = await _output([*self._command, "-o", "show", "job", named[1]])
        job = slurm_job(text.splitlines()[0]) if text.strip() else None
        if job is None:
            return False
        for event in slurm_events(job, identity, time(), self._warning):
            tell(event)
        return True


async def _output(argv: list[str]) -> str:
    """What a command prints; nothing when it fails, or takes too long."""
    environ = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
    with trio.move_on_after(ANSWER_SECONDS), suppress(OSError):
        done = await trio.run_process(
            argv, capture_stdout=True, stderr=subprocess.DEVNULL, stdin=b"", check=False, env=environ
        )
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
    return ""
