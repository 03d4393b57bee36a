"""How many nodes one core of the hub can hear: heartbeats per second of the hub's CPU.

One client with a few connections over the hub's Unix socket sends a bounded number of heartbeats, each of another
node with its own attempts, and waits for every answer. Each heartbeat is a transaction (SQLite).
"""

from __future__ import annotations

import time
from typing import NamedTuple

from bench.hub_client import UnixConnection, connect
from bench.report import Result, main
from bench.stand import Stand
from respoold.core import hubapi
from respoold.core.hubapi import AttachRequest, Beat


class Size(NamedTuple):
    nodes: int = 50
    beats: int = 5_000
    connections: int = 16


FULL = Size()
TINY = Size(2, 10, 2)
BUDGET = 1000


def run(size: Size = FULL) -> list[Result]:
    return [_measure(size, attempts) for attempts in (1, 8)]


def _measure(size: Size, attempts: int) -> Result:
    with Stand() as stand:
        hub = stand.hub()
        connections = [connect(stand) for _ in range(size.connections)]
        bodies = [_register(connections[0], node, attempts) for node in range(size.nodes)]
        begin, cpu = time.perf_counter(), hub.cpu()
        done = _beat(connections, bodies, size.beats)
        wall, used = time.perf_counter() - begin, max(hub.cpu() - cpu, 0.01)
        for connection in connections:
            connection.close()
    per_cpu = done / used
    return Result(
        f"heartbeats, nodes with {attempts} attempt{'s' * (attempts > 1)} each",
        f"{per_cpu:.0f} per second of the hub's CPU",
        f"{done / wall:.0f}/s by the clock, {size.connections} connections, client on the same cores",
        f"{per_cpu / BUDGET:.1f}x the budget",
        "≥ 1 000 node heartbeats/s per hub core",
        per_cpu >= BUDGET,
    )


def _register(connection: UnixConnection, node: int, attempts: int) -> bytes:
    """Make a node's attempts known to the hub; the body of its heartbeat."""
    ids = [f"{node:016x}{attempt:016x}" for attempt in range(attempts)]
    for attempt_id in ids:
        asked = AttachRequest(attempt_id, "bench", attempt_id, attempt_id, "allow", node=f"node-{node}")
        status, answer = connection.ask("POST", "/v1/attach", hubapi.dump(asked), hubapi.MSGPACK)
        assert status == 200, answer
    report = {"alive": True, "pending_records": 10, "pending_bytes": 1000, "pending_files": 0}
    return hubapi.dump(Beat(f"node-{node}", "0.1.0", dict.fromkeys(ids, report)))


def _beat(connections: list[UnixConnection], bodies: list[bytes], beats: int) -> int:
    """All connections ask, then all answers are read: as many requests in flight as connections."""
    done = 0
    while done < beats:
        for at, connection in enumerate(connections):
            connection.post("/v1/heartbeat", bodies[(done + at) % len(bodies)], hubapi.MSGPACK)
        for connection in connections:
            status, answer = connection.answer()
            assert status == 200, answer
        done += len(connections)
    return done


if __name__ == "__main__":
    main(run)
