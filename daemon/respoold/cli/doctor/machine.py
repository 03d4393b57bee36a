"""The machine: batch job or container, and the systemd units."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator

from respool.autostart import Surroundings, container, refusal
from respool.environment import read
from respool.schedulers import jobs_of
from respoold.cli.doctor.finding import Finding, Level
from respoold.cli.places import Places

SECONDS = 3.0


def surroundings(around: Surroundings, *, has_daemon: bool) -> Iterator[Finding]:
    """What init() will do here, and what becomes of what is kept."""
    for job in jobs_of(around.environ):
        cause = f"This is a job of {job.scheduler} ({job.identity}); resume=True finds its run again by that."
        yield Finding(Level.NOTE, "job", cause)
    inside = None if read(around.environ).lasting else container(around)
    if inside is not None:
        cause = (
            f"This is a container ({inside}): what is kept in it ends with it, so finish() sends all first."
        )
        advice = "A killed container loses what was not sent: mount a disk and set RESPOOL_SPOOL_DIR to it."
        yield Finding(Level.WARN, "container", cause, "" if has_daemon else advice)
    if not has_daemon:
        against = refusal(around)
        said = "init() starts a daemon by itself here."
        yield Finding(
            Level.NOTE,
            "autostart",
            said if against is None else f"init() starts no daemon by itself here: {against}.",
        )


def units(places: Places) -> Iterator[Finding]:
    """The units of the daemon; nothing where systemd does not run."""
    if not os.path.isdir("/run/systemd/system") or shutil.which("systemctl") is None:
        return
    scopes = {scope: _state(scope) for scope in ("--system", "--user")}
    loaded = {scope: state for scope, state in scopes.items() if state.get("LoadState") == "loaded"}
    if not loaded:
        cause = "No systemd unit of the daemon is installed: it does not start with the machine."
        yield Finding(Level.NOTE, "systemd", cause, "respool install-units writes them.")
    for scope, state in loaded.items():
        enabled = state.get("UnitFileState") in {"enabled", "static", "indirect"}
        if not enabled:
            cause = (
                f"respoold.socket ({scope[2:]}) is installed and {state.get('UnitFileState') or 'disabled'}."
            )
            advice = f"systemctl {scope} enable --now respoold.socket respoold.service"
            yield Finding(Level.WARN, "systemd", cause, advice)
        elif state.get("ActiveState") not in {"active", "activating"}:
            cause = f"respoold.socket ({scope[2:]}) is {state.get('ActiveState')}."
            yield Finding(Level.BAD, "systemd", cause, f"journalctl {scope} -u respoold says why.")
    if "--user" in loaded and not _lingers(places.uid):
        cause = "Your user daemon ends when you log out (lingering is off)."
        yield Finding(Level.WARN, "systemd", cause, "loginctl enable-linger")


def _state(scope: str) -> dict[str, str]:
    words = ["systemctl", scope, "show", "respoold.socket", "-p", "LoadState,ActiveState,UnitFileState"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            words, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _lingers(uid: int) -> bool:
    try:
        return os.path.exists(f"/var/lib/systemd/linger/{pwd.getpwuid(uid).pw_name}")
    except KeyError:
        return False
