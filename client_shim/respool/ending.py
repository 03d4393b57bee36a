"""The end of a run: its last record, and how far its data got before finish() returns."""

from __future__ import annotations

import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING

from respool import notices
from respool.wire.messages import Flush, Flushed

if TYPE_CHECKING:
    from respool.keeper import Keeper
    from respool.segment_writer import SegmentWriter
    from respool.tether import Tether

SYNC_SECONDS = 2.0
"""A daemon that has not synced by then stands still, or its disk is slow: this process can sync as well."""

DRAIN_SECONDS = 120.0
SAID_SECONDS = 2.0
_SLICE_SECONDS = 5.0
_PAUSE_SECONDS = 0.1


def synced(writer: SegmentWriter, tether: Tether | None, seconds: float = SYNC_SECONDS) -> bool:
    """Make all records durable in the spool: the daemon does it, or else this process itself."""
    if tether is not None:
        answer = tether.ask(Flush(hub=False), seconds)
        if answer is not None and isinstance(answer.message, Flushed) and answer.message.error is None:
            return True
    error = writer.sync()
    if error is not None:
        notices.alarm("sync", f"{error}. What was logged may not survive a power cut.")
    return error is None


def drained(tether: Tether | None, seconds: float, *, patient: bool = False) -> bool:
    """Wait until everything is at the hub, at most `seconds`. Says whether it is. A daemon that goes away ends
    the wait, unless `patient`: then its return is waited for.
    """
    begin = monotonic()
    while tether is not None and (left := begin + seconds - monotonic()) > 0:
        answer = tether.ask(Flush(hub=True), min(left, _SLICE_SECONDS))
        if answer is not None and isinstance(answer.message, Flushed):
            return answer.message.error is None
        if not tether.attached:
            if not patient:
                return False
            sleep(min(_PAUSE_SECONDS, left))
        _show(f"sending to the hub, {monotonic() - begin:.0f} of at most {seconds:.0f} s")
    return False


def awaited(keeper: Keeper, mode: str, seconds: float) -> tuple[bool, bool, bool]:
    """`carried`, and whether Ctrl-C ended its wait: what the hub does not have then stays where it is."""
    try:
        return (*carried(keeper, mode, seconds), False)
    except KeyboardInterrupt:
        where = keeper.spool or keeper.attached.directory
        notices.alarm(
            "unawaited",
            f"Ctrl-C ended the wait for the hub. What it does not have yet stays in {where}, which may not outlive "
            "this job: `respool sync` sends it.",
        )
        return False, False, True


def carried(keeper: Keeper, mode: str, seconds: float) -> tuple[bool, bool]:
    """(lasting, sent): whether nobody had to wait for the hub, and whether it has all of it now. Where what is kept
    does not outlive the job it is sent before this returns, for at most `seconds`; without a daemon, what could
    not be sent is said here.
    """
    if keeper.tether is not None:
        lasting = keeper.attached.lasting
        sent = not lasting and _sent(keeper.tether, seconds)
        if not (lasting or sent):
            notices.alarm(
                "fleeting",
                "what the hub does not have yet will be lost with this job: the daemon's spool does not outlive "
                "it. Give the job longer, connect its daemon to a hub, or keep the spool on a disk that stays.",
            )
        return lasting, sent
    why = keeper.fleeting
    if why is None or keeper.spool is None:
        return True, False
    from respool import lasting as storage  # noqa: PLC0415 - runs with a daemon do not need it

    left = "mode='spool' asks for no daemon" if mode == "spool" else None
    left = left or storage.send(keeper.spool, storage.surroundings(), seconds)
    if left is not None:
        notices.alarm(
            "fleeting",
            f"what was logged will be lost with this job: {why}, and {left}. Run `respool sync {keeper.spool}` "
            "before it ends, copy that folder to a disk that stays, or set RESPOOL_SPOOL_DIR to one.",
        )
    return True, left is None


def _sent(tether: Tether, seconds: float) -> bool:
    """`drained`; who waits longer than a moment is told of it, once."""
    begin = monotonic()
    if drained(tether, SAID_SECONDS):
        return True
    if monotonic() - begin < SAID_SECONDS:
        return False
    bound = f"for at most {seconds:.0f} s; Ctrl-C ends this wait"
    notices.line(f"sending what the hub does not have yet, {bound}.")
    return drained(tether, seconds - SAID_SECONDS)


def _show(text: str) -> None:
    """Progress, for a person who waits at a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        notices.line(text)
