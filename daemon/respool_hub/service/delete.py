"""Deleting a run: who may, and what goes."""

from __future__ import annotations

from typing import Any

from respool_hub.service.access import Caller, find_run, own_run
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import RunRow


def delete(tx: Transaction, caller: Caller, path: tuple[str, str, str], at: float) -> dict[str, Any]:
    """Take a run out of sight for good; says what went. Raises RefusalError "missing" or "forbidden"."""
    run = _own(tx, caller, path)
    gone = _amount(tx, run)
    tx.bury(run, caller.user, at)
    return gone


def doomed(reader: Reader, caller: Caller, path: tuple[str, str, str]) -> dict[str, Any]:
    """What would go. Raises as `delete`."""
    return _amount(reader, _own(reader, caller, path))


def _own(reader: Reader, caller: Caller, path: tuple[str, str, str]) -> RunRow:
    run = find_run(reader, caller, *path)
    own_run(caller, run)
    return run


def _amount(reader: Reader, run: RunRow) -> dict[str, Any]:
    attempts, writers = reader.attempts(run.id), reader.writers(run.id)
    files, checkpoints, parts = reader.files(run.id), reader.checkpoints(run.id), reader.parts(run.id)
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
