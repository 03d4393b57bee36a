"""Whether what is kept on this machine is still there when the job has ended, and what to do where it is not.

Asked by the daemon of its own spool, and by a process that has no daemon when its run ends.
"""

from __future__ import annotations

import os
import sys

from respool import notices
from respool.autostart import Surroundings, container, hub_known, not_installed
from respool.environment import read
from respool.mounts import is_fleeting, kind_of

_SCRATCH = ("SLURM_TMPDIR", "PBS_JOBFS", "AWS_BATCH_JOB_SCRATCH")


def surroundings() -> Surroundings:
    """This process's."""
    return Surroundings(dict(os.environ))


def fleeting(spool: str, around: Surroundings) -> str | None:
    """Why a spool will not last, or None. RESPOOL_LASTING overrules what can be seen."""
    said = read(around.environ).lasting
    if said is not None:
        return None if said else "RESPOOL_LASTING=0"
    inside = container(around)
    if inside is not None:
        return f"this is a container ({inside})"
    kind = kind_of(spool)
    if is_fleeting(kind):
        return f"{spool} is on {kind}"
    real = os.path.realpath(spool)
    for name in _SCRATCH:
        folder = around.environ.get(name, "")
        if folder and (real + "/").startswith(os.path.realpath(folder) + "/"):
            return f"{spool} is in {name}, which ends with the job"
    return None


def send(spool: str, around: Surroundings, seconds: float) -> str | None:
    """Bring what lies in `spool` to the hub by `respool sync` as a child, for at most `seconds`. Why it is not
    all there, or None.
    """
    if not hub_known(around.environ):
        return "no hub is known; `respool login URL` names one"
    missing = not_installed()
    if missing is not None:
        return missing
    import subprocess  # noqa: PLC0415 - only a run whose data would vanish needs it

    notices.line(f"sending what is in {spool}, at most {seconds:.0f} s: it will not outlast this job.")
    argv = [sys.executable, "-P", "-m", "respool", "sync", spool]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and words
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the hub had not got all of it after {seconds:.0f} s"
    except OSError as error:
        return f"`respool sync` could not be started: {error}"
    return None if done.returncode == 0 else f"`respool sync` ended with exit code {done.returncode}"
