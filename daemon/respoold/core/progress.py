"""The `progress` file of an attempt: what a daemon that starts again need not find out again."""

from __future__ import annotations

from typing import Any

from respoold.core.attempt import Attempt, Told
from respoold.core.file_version import Blob, FileVersion
from respoold.core.tail import Start


def progress_of(attempt: Attempt) -> dict[str, Any]:
    """What an attempt's `progress` file holds."""
    return {
        "registered": attempt.registered,
        "number": attempt.number,
        "entity": attempt.entity,
        "hub": attempt.hub,
        "home": attempt.home,
        "incarnation": attempt.incarnation,
        "gone": sorted(slot for slot, writer in attempt.writers.items() if writer.gone),
        "exits": {
            str(slot): one.exit_code for slot, one in attempt.writers.items() if one.exit_code is not None
        },
        "statuses": {
            str(slot): one.status for slot, one in attempt.writers.items() if one.status is not None
        },
        "superseded": attempt.superseded,
        "reported": sorted(attempt.reported),
        "notices": dict(attempt.notices),
        "told": list(attempt.told) if attempt.told else None,
        "acked": {str(writer): seq for writer, seq in attempt.acked.items()},
        "base": {str(writer): list(base) for writer, base in attempt.base.items()},
        "files": {token: list(version) for token, version in attempt.files.items()},
        "checkpoints": attempt.checkpoints.facts(),
    }


def restore_progress(attempt: Attempt, progress: dict[str, Any]) -> None:
    """Take up what a `progress` file says, after the writers; a broken one is as good as none."""
    try:
        acked = {int(writer): int(seq) for writer, seq in (progress.get("acked") or {}).items()}
        base = {int(writer): Start(*start) for writer, start in (progress.get("base") or {}).items()}
        files = [FileVersion(*values) for values in (progress.get("files") or {}).values()]
        files = [version._replace(state=Blob(version.state), at=0.0) for version in files]
        notices = {str(source): float(at) for source, at in (progress.get("notices") or {}).items()}
        told = _told(*progress["told"]) if progress.get("told") else None
        exits = {int(slot): int(code) for slot, code in (progress.get("exits") or {}).items()}
        statuses = {int(slot): int(code) for slot, code in (progress.get("statuses") or {}).items()}
        gone = {int(slot) for slot in progress.get("gone") or ()}
        reported = set(progress.get("reported") or ())
        attempt.checkpoints.take_facts(progress.get("checkpoints"))
    except (TypeError, ValueError, AttributeError, KeyError):
        return
    attempt.registered = bool(progress.get("registered", attempt.registered))
    attempt.number = progress.get("number", attempt.number)
    attempt.entity = progress.get("entity", attempt.entity)
    attempt.hub = str(progress.get("hub") or "")
    attempt.home = str(progress.get("home") or attempt.home)
    attempt.incarnation = str(progress.get("incarnation") or "")
    attempt.superseded = bool(progress.get("superseded"))
    attempt.acked, attempt.base, attempt.reported = acked, base, reported
    attempt.notices, attempt.told = notices, told
    attempt.files = {version.token: version for version in files}
    for slot, writer in attempt.writers.items():
        writer.gone = slot in gone
        writer.exit_code, writer.status = exits.get(slot), statuses.get(slot)
    for slot in base:
        attempt.tail(slot)


def _told(source: str, deadline: float) -> Told:
    return Told(str(source), float(deadline))
