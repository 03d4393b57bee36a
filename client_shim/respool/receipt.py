"""The last lines of a run: how it ended, what was kept and where, what still waits for the hub, and what to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from respool import notices
from respool.spool_history import segments_of
from respool.wire.frames import HEADER_SIZE, Kind
from respool.wire.messages import Status, StatusRequest
from respool.wire.segment import DATA

if TYPE_CHECKING:
    from respool.keeper import Keeper
    from respool.run_facts import RunFacts
    from respool.segment_writer import SegmentWriter

ASK_SECONDS = 1.0
COUNTED = 500_000
"""Of a longer run the records are told instead of the rows: nobody waits for a receipt."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Balance(NamedTuple):
    """What was kept in `directory` and what of it waits for the hub; None where nobody can say it at once. `spool`: of
    a run without a daemon the folder of its attempts.
    """

    records: int
    directory: str
    spool: str | None
    rows: int | None = None
    files: int = 0
    checkpoints: int = 0
    waiting: str | None = None
    why: str = ""


def balance(keeper: Keeper, writer: SegmentWriter) -> Balance:
    """Asked before the tether is closed; a daemon that hears has a second to answer."""
    attached = keeper.attached
    rows, files, checkpoints = None, 0, 0
    if writer.seq <= COUNTED:
        rows, files, checkpoints = _counted(attached.directory, attached.writer)
    found = Balance(writer.seq, attached.directory, keeper.spool, rows, files, checkpoints)
    if keeper.tether is None or keeper.tether.deaf or not keeper.tether.attached:
        return found
    answer = keeper.tether.ask(StatusRequest(), ASK_SECONDS)
    if answer is None or not isinstance(answer.message, Status):
        return found
    runs = answer.message.status.get("runs")
    for run in runs if isinstance(runs, list) else ():
        if isinstance(run, dict) and run.get("attempt_id") == attached.attempt_id:
            why = str(run.get("why") or "")
            return found._replace(rows=run.get("rows", rows), waiting=waiting(run), why=why)
    return found._replace(waiting="" if isinstance(runs, list) else None)


def waiting(run: dict[str, Any]) -> str:
    """`306 records (48 KiB), 1 file (3.0 MiB)`; empty when nothing waits."""
    parts = []
    for noun, octets in (("record", run.get("pending_bytes")), ("file", run.get("pending_file_bytes"))):
        number = int(run.get(f"pending_{noun}s") or 0)
        if number:
            parts.append(counted(number, noun) + (f" ({size(octets)})" if octets else ""))
    return ", ".join(parts)


def counted(number: int, noun: str) -> str:
    """`1 row`, `1 240 rows`."""
    return f"{number:,}".replace(",", " ") + f" {noun}{'' if number == 1 else 's'}"


def size(octets: float) -> str:
    """Bytes with three digits at most."""
    unit = 0
    while octets >= 999.5 and unit < len(_UNITS) - 1:
        octets, unit = octets / 1024, unit + 1
    return f"{octets:.{0 if unit == 0 or octets >= 99.95 else 1}f} {_UNITS[unit]}"


def show(
    run: RunFacts, exit_code: int, kept: Balance, *, safe: bool, sent: bool, late: float | None, lost: int
) -> None:
    """Print it, once a launch. `late`: the seconds that were waited for the hub in vain."""
    how = "finished" if exit_code == 0 else f"ended with exit code {exit_code}"
    sent = sent or kept.waiting == ""
    where = "at the hub" if sent else "synced in the spool" if safe else "in the spool, not synced"
    rows = "without a row" if run.last_step is None else f"after step {run.last_step}"
    notices.line(f"run {run.path} {how} {rows} · {where}")
    notices.line(f"  kept     {_kept(kept)}{'' if sent else f' in {kept.directory}'}")
    if lost:
        notices.line(f"  lost     {counted(lost, 'record')}: see the warning above; the hub shows where")
    if late is not None:
        waited = f" after {late:.0f} s" if late >= 1.0 else ""
        notices.line(f"  late     the hub did not have all of it{waited}")
    if not sent:
        notices.line(f"  waiting  {_waits(kept)}")
    notices.line(f"  see      {_see(kept, run.path, sent=sent)}")


def _kept(kept: Balance) -> str:
    rows = counted(kept.records, "record") if kept.rows is None else counted(kept.rows, "row")
    more = ((kept.files, "file"), (kept.checkpoints, "checkpoint"))
    return ", ".join([rows, *(counted(number, noun) for number, noun in more if number)])


def _waits(kept: Balance) -> str:
    if kept.waiting is None and kept.spool is not None:
        return f"for `respool sync {kept.spool}`, or for your daemon when it starts"
    what = kept.waiting or "for the daemon, which did not answer at the end: `respool status` tells more"
    why = f": {kept.why}" if kept.why and kept.why != "being sent" else ""
    return f"{what}{why}; the daemon goes on, `respool status` tells" if kept.waiting else what


def _see(kept: Balance, path: str, *, sent: bool) -> str:
    if kept.spool is None or sent:
        return f"respool show {path}"
    return f"respool show {path} --spool {kept.spool}"


def _counted(directory: str, writer: int) -> tuple[int | None, int, int]:
    """(rows, files, checkpoints) in the segments of a writer, by the heads of its frames; no rows where they cannot be
    read here.
    """
    counts = [0] * 256
    names = segments_of(directory, writer)
    try:
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                file.seek(DATA)
                while len(head := file.read(HEADER_SIZE)) == HEADER_SIZE and any(head[:4]):
                    counts[head[24]] += 1
                    file.seek(int.from_bytes(head[:4], "little"), os.SEEK_CUR)
    except OSError:
        return None, 0, 0
    rows = counts[Kind.ROW] if names else None
    return rows, counts[Kind.FILE], counts[Kind.CHECKPOINT]
