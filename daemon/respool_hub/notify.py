"""systemd's notifications (sd_notify(3)); silence outside systemd.

The same code as `respoold.io.notify`: the hub imports nothing of the daemon but its core.
"""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send e.g. `READY=1`, `WATCHDOG=1`, `STOPPING=1`. A failure is not ours to handle."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address)
            sender.sendall(state.encode())
        except OSError:
            return


def watchdog_seconds() -> float | None:
    """How often systemd wants a sign of life, halved as sd_watchdog_enabled(3) advises; None for never."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 2e6 if microseconds.isdigit() and mine else None
