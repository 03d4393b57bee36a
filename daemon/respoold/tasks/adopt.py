"""Spools that a process without a daemon left: found, read where they lie, brought to the hub.

The shim registers each such folder under $XDG_STATE_HOME/respool/spools (one small file with the path). watchdog
tells of new ones; that is a hint, the rescan is the truth. Whatever another adopter does meanwhile is harmless:
the hub takes every record once.
"""

from __future__ import annotations

import os
from typing import NoReturn

import trio

from respoold.io import disk
from respoold.io.watch import watching
from respoold.tasks.keeper import Keeper
from respoold.tasks.retire import retire_if_complete

RESCAN_SECONDS = 10.0


async def adopt_forever(keeper: Keeper) -> NoReturn:
    """Look for registered spools at each hint, and every RESCAN_SECONDS."""
    registry = registry_folder()
    os.makedirs(registry, mode=0o700, exist_ok=True)
    async with watching() as watcher:
        while True:
            spools = registered_spools(registry)
            watcher.cover([registry, *spools])
            for spool in spools:
                _try_spool(keeper, spool)
            await _look_again(keeper)
            with trio.move_on_after(RESCAN_SECONDS):
                await watcher.bell.wait()


def _try_spool(keeper: Keeper, spool: str) -> None:
    """A folder that cannot be read now, such as one on a disk that is away, may be another time."""
    try:
        adopt_spool(keeper, spool)
    except OSError as error:
        keeper.warn(f"the spool {spool} cannot be read: {error}", about=spool)
    else:
        keeper.resolve(spool)


async def _look_again(keeper: Keeper) -> None:
    """Nobody rings for a process that has no daemon, nor when another reader of its folder is done with it."""
    for reader in keeper.readers.values():
        if reader.attempt.adopted and not reader.finished:
            keeper.attend(reader)
    for attempt in keeper.node:
        if attempt.adopted and attempt.complete:
            await retire_if_complete(keeper, attempt)


def adopt_spool(keeper: Keeper, spool: str) -> int:
    """Keep every attempt in a folder, or in a stopped daemon's spool, from now on; how many are new.

    Only the owner's own: st_uid decides.
    """
    count = 0
    for directory in disk.attempts_in(spool):
        if owned(directory) and keeper.adopt(directory, own=False) is not None:
            count += 1
    return count


def owned(directory: str) -> bool:
    """Whether an attempt's folder is this user's own; root may bring anybody's."""
    try:
        return os.getuid() in {0, os.stat(directory).st_uid}
    except FileNotFoundError:
        return False  # it was complete and is being removed


def registry_folder() -> str:
    """Where shims of this user register their spools."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local/state")
    return os.path.join(home, "respool", "spools")


def registered_spools(registry: str) -> list[str]:
    """The folders that are registered; an entry that names nothing readable is left for later."""
    found = []
    for name in sorted(os.listdir(registry)):
        try:
            with open(os.path.join(registry, name), encoding="utf-8") as file:
                found.append(file.read().strip())
        except (OSError, UnicodeDecodeError):
            continue
    return [path for path in found if path and os.path.isdir(path)]
