"""Jobs whose end is near, as one daemon of each SLURM cluster finds them for all: who leads, and what it found.

A bulletin belongs to the user of the daemons' key, so that nobody can say anything of another's jobs. It is kept with
the hub's own settings: any of its processes may be asked.
"""

from __future__ import annotations

import json
from typing import Any

from respool_hub.clock import Now
from respool_hub.service.access import Caller
from respool_hub.service.fold import finite
from respool_hub.store.ports import Transaction
from respoold.core.bulletin import LEASE_SECONDS, MAX_JOBS
from respoold.core.hubapi import Beat

MAX_CLUSTERS = 4
MAX_NAME = 64


def post(
    tx: Transaction, caller: Caller, request: Beat, now: Now
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Take what a heartbeat says of its clusters. Answers those that its node leads from now on, and of each cluster
    what is foreseen for the node's jobs. Nothing for who shows an attempt's token alone: it speaks for that attempt.
    """
    leads: list[str] = []
    foreseen: dict[str, dict[str, Any]] = {}
    if caller.attempt is not None:
        return leads, foreseen
    key = tx.key_of(caller.key_id)
    owner = caller.user if key is None else key.user
    sent: dict[Any, Any] = request.watched
    for cluster, told in list(sent.items())[:MAX_CLUSTERS]:
        if not isinstance(cluster, str) or not isinstance(told, dict):
            continue
        name = f"slurm {owner} {cluster[:MAX_NAME]}"
        board = _read(tx.setting(name))
        if board.get("node") == request.node or not 0 < board.get("until", 0.0) - now.wall <= LEASE_SECONDS:
            found = _found(told) if board.get("node") == request.node else None
            kept = board.get("found", {}) if found is None else found
            board = {"node": request.node, "until": now.wall + LEASE_SECONDS, "found": kept}
            tx.put_setting(name, json.dumps(board))
            leads.append(cluster)
        foreseen[cluster] = {job: board["found"][job] for job in _jobs(told) if job in board["found"]}
    return leads, foreseen


def _jobs(told: dict[str, Any]) -> list[str]:
    jobs = told.get("jobs")
    return [job for job in jobs[:MAX_JOBS] if isinstance(job, str)] if isinstance(jobs, list) else []


def _found(told: dict[str, Any]) -> dict[str, Any] | None:
    found = told.get("found")
    if not isinstance(found, dict):
        return None
    return {
        str(job)[:MAX_NAME]: [str(one[0])[:MAX_NAME], finite(one[1]) or 0.0]
        for job, one in list(found.items())[:MAX_JOBS]
        if isinstance(one, list) and len(one) == 2 and isinstance(one[1], int | float)
    }


def _read(text: str | None) -> dict[str, Any]:
    return json.loads(text) if text else {}
