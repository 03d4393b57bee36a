"""The last lines of a run: how it ended, what was kept and where, what still waits for the hub, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from respool import notices
from respool.wire.frames import Kind
from respool.wire.messages import Status, StatusRequest

if TYPE_CHECKING:
    from respool.keeper import Keeper
    from respool.run_facts import RunFacts
    from respool.segment_writer import SegmentWriter

ASK_SECONDS = 1.0

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Balance(NamedTuple):
    """What was kept in `directory` and what of it waits for the hub; None where nobody can say it at once. `spool`: of
    a run without a daemon the folder of its attempts.
    """

    rows: int
    directory: str
    spool: str | None
    files: int = 0
    checkpoints: int = 0
    waiting: str | None = None
    why: str = ""
    deleted: bool = False


def balance(keeper: Keeper, writer: SegmentWriter) -> Balance:
    """Asked before the tether is closed; a daemon that hears has a second to answer."""
    attached = keeper.attached
    files, checkpoints = (writer.others.get(kind, 0) for kind in (Kind.FILE, Kind.CHECKPOINT))
    found = Balance(writer.rows, attached.directory, keeper.spool, files, checkpoints)
    if keeper.tether is None or keeper.tether.deaf or not keeper.tether.attached:
        return found
    answer = keeper.tether.ask(StatusRequest(), ASK_SECONDS)
    if answer is None or not isinstance(answer.message, Status):
        return found
    runs = answer.message.status.get("runs")
    for run in runs if isinstance(runs, list) else ():
        if isinstance(run, dict) and run.get("attempt_id") == attached.attempt_id:
            why = str(run.get("why") or "")
            gone = run.get("deleted") is True
            rows = run.get("rows", found.rows)
            return found._replace(rows=rows, waiting=waiting(run), why=why, deleted=gone)
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
    run: RunFacts, how: str, kept: Balance, *, safe: bool, sent: bool, late: float | None, lost: int
) -> None:
    """Print it, once a launch. `late`: the seconds that were waited for the hub in vain."""
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
    more = ((kept.files, "file"), (kept.checkpoints, "checkpoint"))
    return ", ".join([counted(kept.rows, "row"), *(counted(number, noun) for number, noun in more if number)])


def _waits(kept: Balance) -> str:
    if kept.waiting is None and kept.spool is not None:
        return f"for `respool sync {kept.spool}`, or for your daemon when it starts"
    if kept.waiting and kept.deleted:
        return f"{kept.waiting} for nobody: {kept.why} `respool spool purge` removes what is here."
    what = kept.waiting or "for the daemon, which did not answer at the end: `respool status` tells more"
    why = f": {kept.why}" if kept.why and kept.why != "being sent" else ""
    return f"{what}{why}; the daemon goes on, `respool status` tells" if kept.waiting else what


def _see(kept: Balance, path: str, *, sent: bool) -> str:
    if kept.deleted:
        return "respool status"
    if kept.spool is None or sent:
        return f"respool show {path}"
    return f"respool show {path} --spool {kept.spool}"
