"""Runs as people read them: plain JSON objects of what is stored and derived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from respool_hub.service.files import shown
from respool_hub.service.lives import wants_new
from respool_hub.service.plain_json import clean
from respool_hub.service.standing import Quiet, number_or_none, run_attempt, state
from respool_hub.service.story import Story, about, hidden, tell, total
from respool_hub.store.ports import Reader
from respool_hub.store.rows import AttemptRow, FileRow, RunRow, SlotRow

Link = Callable[[RunRow], str | None]
"""The URL of a run, if it has one."""


def path_of(run: RunRow) -> str:
    """The run's path in this API."""
    return "/v1/runs/" + "/".join(quote(part, safe="") for part in (run.entity, run.project, run.run_id))


def brief(reader: Reader, run: RunRow, quiet: Quiet, url: str | None) -> dict[str, Any]:
    """A run as a list shows it."""
    return _brief(tell(reader, run.id, run.head), run, quiet, url)


def _brief(story: Story, run: RunRow, quiet: Quiet, url: str | None) -> dict[str, Any]:
    attempts = list(story.attempts.values())
    current = run_attempt(run, attempts, quiet)
    writers = [row for rows in story.writers.values() for row in rows]
    return {
        "entity": run.entity,
        "project": run.project,
        "run_id": run.run_id,
        "original_id": run.original_id,
        "name": clean(run.meta.get("name")) or run.run_id,
        "state": state(current, quiet).value if current else "empty",
        "attempts": len(attempts),
        "last_step": number_or_none(story.last_step),
        "rows": sum(row.rows for row in writers),
        # One that began offline is older than what this hub knows of it.
        "created_at": min([run.created_at, *(a.started_at for a in attempts if a.started_at > 0)]),
        "heartbeat_at": max((a.heartbeat_at for a in attempts if a.heartbeat_at is not None), default=None),
        "ended_at": current.ended_at if current else None,
        "pending_records": sum(attempt.pending_records for attempt in attempts),
        "pending_bytes": sum(attempt.pending_bytes for attempt in attempts),
        "node": current.node if current else None,
        "lost": sum(row.lost for row in writers),
        "tags": clean(run.meta.get("tags")) or [],
        "notes": clean(run.meta.get("notes")) or "",
        "artifacts": clean(run.meta.get("artifacts")) or {},
        "url": url,
        "diverged": any(_strayed(attempt) for attempt in attempts),
        "alias_of": run.alias_of,
    }


def _strayed(attempt: AttemptRow) -> bool:
    """A branch that nobody asked for: not one that was started over."""
    return attempt.branch and not wants_new(attempt)


def full(reader: Reader, run: RunRow, quiet: Quiet, url: str | None) -> dict[str, Any]:
    """A run with what it amounts to and each attempt."""
    story = tell(reader, run.id, run.head)
    totals = total(reader, story)
    unseen = hidden(reader, story)
    attempts = [
        {
            **_attempt(story, attempt, quiet, reader.slots(attempt.attempt_id)),
            "hidden": unseen.get(attempt.attempt_id, 0),
            "about": clean(about(reader, story, attempt.attempt_id)),
        }
        for attempt in story.attempts.values()
    ]
    return {
        **_brief(story, run, quiet, url),
        "config": clean(totals.config),
        "summary": clean(totals.summary),
        "meta": clean({**run.meta, "metrics": totals.metrics}),
        "alerts": clean(run.meta.get("alerts")) or [],
        "head": run.head,
        "attempts": attempts,
    }


def _attempt(story: Story, attempt: AttemptRow, quiet: Quiet, slots: list[SlotRow]) -> dict[str, Any]:
    writers = story.writers[attempt.attempt_id]
    link, own = story.links[attempt.attempt_id], story.of(attempt.attempt_id)
    return {
        "attempt_id": attempt.attempt_id,
        "number": attempt.number,
        "state": state(attempt, quiet).value,
        "parent": attempt.parent,
        "cut": story.cuts.get(attempt.attempt_id),
        "node": attempt.node,
        "pid": attempt.pid,
        "started_at": attempt.started_at or attempt.registered_at,
        "ended_at": attempt.ended_at,
        "exit_code": attempt.exit_code,
        "first_step": own.seen(link.first_steps[0]) if link.first_steps else None,
        "last_step": own.seen(number_or_none(link.last_step)),
        "rows": sum(row.rows for row in writers),
        "lost": sum(row.lost for row in writers),
        "heartbeat_at": attempt.heartbeat_at,
        "pending_records": attempt.pending_records,
        "on_lineage": attempt.attempt_id in story.cuts,
        "branch": attempt.branch,
        "writers": [_writer(slot) for slot in slots],
        "notice": {"source": attempt.source, "deadline": attempt.deadline or None}
        if attempt.noticed
        else None,
        "offline": attempt.offline,
    }


def _writer(slot: SlotRow) -> dict[str, Any]:
    how = "ended" if slot.ended else "gone" if slot.gone else "running" if slot.alive else "silent"
    shown = {"writer": slot.writer, "node": slot.node, "pid": slot.pid, "state": how}
    return shown | {"joined": slot.joined, "exit_code": slot.exit_code}


def listed_files(reader: Reader, run: RunRow, *, every: bool) -> list[dict[str, Any]]:
    """The newest visible version of each name, or every version, oldest first."""
    story = tell(reader, run.id, run.head)
    rows = reader.files(run.id)
    chosen = rows if every else list(shown(rows, story).values())
    return [_file(row, story.attempts[row.attempt_id]) for row in chosen]


def _file(file: FileRow, attempt: AttemptRow) -> dict[str, Any]:
    return {
        "name": file.name,
        "size": file.size,
        "digest": file.digest,
        "step": file.step,
        "time": file.time,
        "attempt_id": file.attempt_id,
        "number": attempt.number,
        "seq": file.seq,
        "metadata": clean(file.metadata),
    }
