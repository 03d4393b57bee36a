"""Deleting a run: who may, and what goes."""

from __future__ import annotations

from typing import Any

from respool_hub.service.access import Caller, find_run, own_run
from respool_hub.store.ports import Transaction


def delete(tx: Transaction, caller: Caller, path: tuple[str, str, str], at: float) -> dict[str, Any]:
    """Take a run out of sight for good; says what went. Raises RefusalError "missing" or "forbidden"."""
    run = find_run(tx, caller, *path)
    own_run(caller, run)
    attempts, writers = tx.attempts(run.id), tx.writers(run.id)
    files, checkpoints, parts = tx.files(run.id), tx.checkpoints(run.id), tx.parts(run.id)
    tx.bury(run, caller.user, at)
    return {
        "entity": run.entity,
        "project": run.project,
        "run_id": run.run_id,
        "attempts": len(attempts),
        "rows": sum(row.rows for row in writers),
        "files": len(files),
        "file_bytes": sum(file.size for file in files) + sum(part.size for part in parts),
        "checkpoints": len({(share.attempt_id, share.name, share.step) for share in checkpoints}),
    }
