"""SLURM as a batch script may ask it: whether the job is being preempted, and to requeue it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping

from respool.schedulers import slurm_step
from respoold.cli.job import FORWARDED
from respoold.core.notice_words import slurm_job

ANSWER_SECONDS = 30.0


class Scontrol:
    """The job that this process belongs to; `job` is empty outside SLURM, and then nothing is asked. Of the tasks of
    one step the first alone asks for a requeue, and only the batch script asks whether there is a preemption: tasks
    are signalled, and a thousand of them would ask at once.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        array, task = environ.get("SLURM_ARRAY_JOB_ID", ""), environ.get("SLURM_ARRAY_TASK_ID", "")
        self.job = f"{array}_{task}" if array and task else environ.get("SLURM_JOB_ID", "")
        self._first = environ.get("SLURM_PROCID", "0") == "0"
        self._script = not slurm_step(environ)

    def preempted(self) -> float | None:
        """The time of the end, in seconds since the epoch, 0 for unknown, of a job that is being preempted; None of
        any other, and where nobody answers.
        """
        if not (self.job and self._script):
            return None
        shown = _scontrol("-o", "show", "job", self.job)
        found = slurm_job(shown.splitlines()[0]) if shown else None
        return found.ends_at if found is not None and found.preempted else None

    def requeue(self) -> bool:
        """Whether the job will be started again."""
        return bool(self.job and self._first) and _scontrol("requeue", self.job) is not None


def _scontrol(*words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - the scheduler's own command
            ["scontrol", *words],  # noqa: S607 - wherever the site has it
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "SLURM_TIME_FORMAT": "%s"},
            timeout=ANSWER_SECONDS,
            check=False,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
