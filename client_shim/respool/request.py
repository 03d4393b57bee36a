"""What a call of init() asks a keeper for."""

from __future__ import annotations

import itertools
import socket
import time

from respool.launch import Launch, base_of, fresh_id
from respool.plan import Plan
from respool.process import program, this_process
from respool.texts import readable
from respool.util import generate_id
from respool.wire.attempt import Request
from respool.wire.identity import run_id_of

_calls = itertools.count()


def request_of(plan: Plan, launch: Launch, remembered: str = "") -> Request:
    """The request; `remembered` is the run that the state file names. Every call makes another incarnation, so
    that a process that replaced itself by exec, or calls init() again, is not taken for what it was.
    """
    original = plan.original_id or fresh_id(launch, next(_calls))
    process = this_process()
    return Request(
        project=plan.project,
        run_id=run_id_of(original),
        original_id=original,
        incarnation=f"{process.boot_id}:{process.pid}:{process.start_time}:{generate_id()}",
        resume="allow" if plan.resume == "auto" and plan.original_id is not None else plan.resume,
        entity=plan.entity,
        fixed_id=plan.original_id is not None,
        launch=launch.name,
        restart_count=launch.restart_count,
        boot_id=process.boot_id,
        pid=process.pid,
        start_time=process.start_time,
        node=socket.gethostname(),
        # A path may be no UTF-8.
        program=readable(program()),
        hub=plan.hub,
        takeover=plan.takeover,
        trust=plan.offline_must,
        meta=plan.meta,
        started_at=time.time(),
        rank=launch.rank,
        identity=launch.identity,
        base=base_of(launch) if auto(plan) else "",
        remembered=remembered,
        join=plan.join,
        system="system" in plan.place.watched,
    )


def auto(plan: Plan) -> bool:
    """Whether the keeper is to find the run that this launch continues."""
    return plan.resume == "auto" and plan.original_id is None
