"""What an agent was given to do, and the environment that tells a process of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

NAMES = (
    "RESPOOL_RUN_ID",
    "RESPOOL_PROJECT",
    "RESPOOL_ENTITY",
    "RESPOOL_SWEEP_ID",
    "RESPOOL_SWEEP_PARAMETERS",
    "RESPOOL_LAUNCH_ID",
    "RESPOOL_REQUEUED",
    "RESPOOL_REQUEUES",
)
"""Variables that an agent sets, or clears."""


class Assignment(NamedTuple):
    """One run of a sweep. `lease` names the agent's hold on it; `requeues`: how often it was begun before."""

    sweep: str
    entity: str
    project: str
    run_id: str
    number: int
    parameters: dict[str, Any]
    lease: str
    requeues: int
    lease_seconds: float
    program: str = ""
    command: tuple[str, ...] = ()


def read(answer: Mapping[str, Any], sweep: str) -> Assignment:
    """From the hub's answer. Raises KeyError, TypeError, ValueError for what is none."""
    work = answer["work"]
    return Assignment(
        sweep,
        str(answer["entity"]),
        str(answer["project"]),
        str(work["run_id"]),
        int(work["number"]),
        dict(work["parameters"]),
        str(work["lease"]),
        int(work["requeues"]),
        float(answer["lease_seconds"]),
        str(answer.get("program") or ""),
        tuple(str(word) for word in answer.get("command") or ()),
    )


def variables(work: Assignment) -> dict[str, str]:
    """What its process is to find: which run it is, what to try, and whether it was begun before."""
    found = {
        "RESPOOL_RUN_ID": work.run_id,
        "RESPOOL_PROJECT": work.project,
        "RESPOOL_ENTITY": work.entity,
        "RESPOOL_SWEEP_ID": work.sweep,
        "RESPOOL_SWEEP_PARAMETERS": json.dumps(work.parameters),
        "RESPOOL_LAUNCH_ID": work.lease,
        "RESPOOL_REQUEUES": str(work.requeues),
    }
    return found | ({"RESPOOL_REQUEUED": "1"} if work.requeues else {})
