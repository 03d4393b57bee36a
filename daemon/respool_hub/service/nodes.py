"""What lies on which node and has not come here yet."""

from __future__ import annotations

from typing import Any

from respool_hub.service.access import Caller, sees
from respool_hub.service.beats import BACKLOG_COUNTS
from respool_hub.service.standing import Quiet, state
from respool_hub.store.ports import Reader
from respool_hub.store.rows import NOBODY, BacklogRow, NodeRow


def nodes(reader: Reader, caller: Caller, quiet: Quiet) -> list[dict[str, Any]]:
    """The nodes that ever beat for what the caller may see, with what each still holds; by name."""
    seen: dict[str, NodeRow] = {}
    for row in reader.nodes(None if caller.admin else caller.user):
        known = seen.get(row.node)
        seen[row.node] = row if known is None or known.heartbeat_at < row.heartbeat_at else known
    return [_node(reader, caller, row, quiet) for row in seen.values()]


def _node(reader: Reader, caller: Caller, node: NodeRow, quiet: Quiet) -> dict[str, Any]:
    held = (_held(reader, caller, one, quiet) for one in reader.backlogs_on(node.node))
    runs = [one for one in held if one is not None]
    ages = [run["oldest_pending_seconds"] for run in runs if run["oldest_pending_seconds"] is not None]
    return {
        "node": node.node,
        "daemon": node.daemon,
        "heartbeat_at": node.heartbeat_at,
        **{count: sum(run[count] for run in runs) for count in BACKLOG_COUNTS},
        "oldest_pending_seconds": max(ages, default=None),
        "runs": runs,
    }


def _held(reader: Reader, caller: Caller, held: BacklogRow, quiet: Quiet) -> dict[str, Any] | None:
    """One attempt with something on that node, or that lives there; None for what is settled or another's."""
    attempt = reader.attempt(held.attempt_id)
    if attempt is None:
        return None
    run = reader.run_of(attempt.run)
    settled = not any(getattr(held, count) for count in BACKLOG_COUNTS) and (attempt.ended or attempt.gone)
    if settled or run.entity == NOBODY or not sees(reader, caller, run.entity):
        return None
    return {
        "entity": run.entity,
        "project": run.project,
        "run_id": run.run_id,
        "attempt_id": attempt.attempt_id,
        "number": attempt.number,
        "state": state(attempt, quiet).value,
        **{count: getattr(held, count) for count in BACKLOG_COUNTS},
        "oldest_pending_seconds": held.oldest,
        "why": held.why or None,
    }
