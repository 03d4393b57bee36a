"""Where this user's own daemons keep their spools, so that what a daemon began can be continued without it.

A daemon says so in `$XDG_STATE_HOME/respool/daemons/`, one file per spool, named for its host, the path inside;
the usual place counts without. Nothing is believed but folders that are this user's alone: what others could
have written would become a resumed run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

ROOT = "v1"
_OTHERS_MAY_WRITE = 0o022


def state_folder(environ: Mapping[str, str]) -> str:
    """The folder of what this user's respool keeps between runs."""
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "respool")


def note(spool: str, environ: Mapping[str, str]) -> None:
    """Say that this host's daemon keeps its spool there. Raises OSError."""
    from hashlib import blake2b  # noqa: PLC0415 - OpenSSL is 3 ms, and only a daemon calls this

    from respool.state_file import replace_file  # noqa: PLC0415 - json, as above

    real = os.path.realpath(spool)
    name = f"{os.uname().nodename}-{blake2b(os.fsencode(real), digest_size=8).hexdigest()}"
    path = os.path.join(state_folder(environ), "daemons", name)
    if not os.path.exists(path):
        replace_file(path, os.fsencode(real))


def registered_spools(environ: Mapping[str, str]) -> list[str]:
    """The folders in which processes of this user kept attempts without a daemon, as far as they are there."""
    registry = os.path.join(state_folder(environ), "spools")
    found = []
    for name in sorted(os.listdir(registry)) if ours(registry) else []:
        try:
            with open(os.path.join(registry, name), "rb") as file:
                found.append(os.fsdecode(file.read(4096).strip()))
        except OSError:
            continue
    return [path for path in found if os.path.isabs(path) and os.path.isdir(path)]


def folders(environ: Mapping[str, str]) -> list[str]:
    """This user's folders of attempts in the spools of daemons of this host. Read them, never write."""
    spools = [os.path.join(state_folder(environ), os.uname().nodename), *_noted(environ)]
    places = [os.path.join(os.path.realpath(spool), ROOT, f"u{os.getuid()}") for spool in spools]
    return [place for place in dict.fromkeys(places) if ours(place)]


def ours(folder: str) -> bool:
    """Whether a folder is this user's and nobody else may write to it."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    alone = found.st_uid == os.getuid() and not found.st_mode & _OTHERS_MAY_WRITE
    return alone and stat.S_ISDIR(found.st_mode)


def _noted(environ: Mapping[str, str]) -> list[str]:
    registry = os.path.join(state_folder(environ), "daemons")
    if not ours(registry):
        return []
    found = []
    for name in sorted(os.listdir(registry)):
        if name.startswith(f"{os.uname().nodename}-"):
            try:
                with open(os.path.join(registry, name), "rb") as file:
                    found.append(os.fsdecode(file.read(4096).strip()))
            except OSError:
                continue
    return [path for path in found if os.path.isabs(path)]
