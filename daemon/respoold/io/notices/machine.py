"""What the machine says of itself: which cloud it is, and whether it is being shut down."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress

import trio

DMI = "/sys/class/dmi/id"
_NAMES = ("sys_vendor", "product_name", "bios_version", "chassis_asset_tag")
_ASK = ("systemctl", "is-system-running")
ANSWER_SECONDS = 2.0


def dmi(folder: str = DMI) -> dict[str, str]:
    """The firmware's names for this machine, as far as they can be read."""
    found: dict[str, str] = {}
    for name in _NAMES:
        with (
            suppress(OSError, UnicodeDecodeError),
            open(os.path.join(folder, name), encoding="ascii") as file,
        ):
            found[name] = file.read(256).strip()
    return found


async def stopping(ask: Sequence[str] = _ASK) -> bool:
    """Whether systemd is shutting this machine down, so that the SIGTERM which we got is everybody's."""
    with trio.move_on_after(ANSWER_SECONDS), suppress(OSError):
        done = await trio.run_process(
            list(ask), capture_stdout=True, stderr=subprocess.DEVNULL, stdin=b"", check=False
        )
        return done.stdout.strip() == b"stopping"
    return False
