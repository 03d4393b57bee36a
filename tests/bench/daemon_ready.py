"""How long a daemon that finds 1 GiB in its spool takes to READY, and until it has read all of it.

READY is measured from the start of the process; what the imports alone cost is measured beside it and taken off,
least from least.
The spool is a run of rows of 20 metrics each (about 400 bytes), of a process that is dead: 128 segments with
contiguous sequence numbers. No hub: the reading is measured, not the sending.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from bench.report import Result, main, spread
from bench.stand import Process, Stand
from respool.wire import codec
from respool.wire.attempt import AttemptFile, Request
from respool.wire.frames import BODY, MAGIC, NO_STEP, PREFIX, Kind
from respool.wire.limits import SEGMENT_RESERVE, SEGMENT_SIZE
from respool.wire.segment import DATA, Mark, SegmentHeader, encode_header, encode_mark, segment_name

ATTEMPT = "0123456789abcdef0123456789abcdef"
IMPORTS = "import respoold.cli.main, respoold.cli.commands.daemon, respoold.app"
METRICS = 20


class Size(NamedTuple):
    rounds: int = 5
    segments: int = 128


FULL = Size()
TINY = Size(1, 2)


def run(size: Size = FULL) -> list[Result]:
    with Stand() as stand:
        records = build(stand.spool(), size.segments)
        imports, ready, daemon = [], [], None
        for _ in range(size.rounds):
            imports.append(_imports(stand))
            if daemon is not None:
                stand.stop(daemon)
            begin = time.perf_counter()
            daemon = stand.daemon(RESPOOL_ROWS_QUOTA="8G")
            ready.append(time.perf_counter() - begin)
        assert daemon is not None
        seconds, cpu = _read_all(stand, daemon, records)
    return _judge(size, imports, ready, records, (seconds, cpu))


def _judge(
    size: Size, imports: list[float], ready: list[float], records: int, reading: tuple[float, float]
) -> list[Result]:
    mebi = size.segments * SEGMENT_SIZE >> 20
    total, floor = spread(ready), spread(imports)
    over = max(0.0, total.least - floor.least) * 1000
    shown = f"imports alone {floor.text('s', 2)}; together {total.text('s', 2)}"
    what = f"daemon READY, {mebi} MiB of spool"
    seconds, cpu = reading
    text = f"{seconds:.1f} s for {records} records ({mebi / seconds:.0f} MiB/s, {records / cpu:.0f} records/CPU-s)"
    return [
        Result(what, f"{over:.0f} ms over its imports", shown, "", "≤ 0.5 s over its imports", over <= 500),
        Result(f"daemon has read {mebi} MiB of spool", text, "in the background, after READY"),
    ]


def _imports(stand: Stand) -> float:
    begin = time.perf_counter()
    process = stand.start(["-c", f"{IMPORTS}; print('imported', flush=True)"], "imports")
    process.line()
    took = time.perf_counter() - begin
    stand.stop(process)
    return took


def _read_all(stand: Stand, daemon: Process, records: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU, from READY until every record was read. The daemon is asked sparingly: each
    answer is a turn of its loop.
    """
    begin, cpu = time.perf_counter(), daemon.cpu()
    env = stand.environment(RESPOOL_SOCKET=stand.socket())
    while True:
        args = [sys.executable, "-m", "respool", "status", "--json"]
        done = subprocess.run(args, env=env, capture_output=True, check=False, timeout=60)
        if done.stdout and json.loads(done.stdout)["pending_records"] >= records:
            return time.perf_counter() - begin, daemon.cpu() - cpu
        assert time.perf_counter() - begin < 300, f"the spool is not read after 300 s: {done.stdout[-500:]!r}"
        time.sleep(0.2)


def build(spool: str, segments: int) -> int:
    """Fill a spool with one dead attempt; how many records it has."""
    directory = os.path.join(spool, "v1", f"u{os.getuid()}", ATTEMPT)
    os.makedirs(os.path.join(directory, "blobs"), mode=0o700)
    request = Request("bench", "old", "old", "gone", boot_id="another boot", pid=1, start_time=1, node="here")
    papers = AttemptFile(ATTEMPT, request._asdict(), os.getuid(), parent_known=False)
    with open(os.path.join(directory, "attempt.json"), "w", encoding="utf-8") as file:
        json.dump(papers._asdict(), file)
    seqs = itertools.count()
    for index in range(segments):
        _segment(directory, index, seqs)
    return next(seqs)


def _segment(directory: str, index: int, seqs: Iterator[int]) -> None:
    data = bytearray(encode_header(SegmentHeader(ATTEMPT, 0, index, 0.0)))
    data += _frame(Kind.SNAPSHOT, codec.pack({"config": {}, "summary": {}, "meta": {}}), next(seqs), NO_STEP)
    row = codec.pack({f"train/metric_{at:02d}": at * 0.1 for at in range(METRICS)})
    room = SEGMENT_SIZE - SEGMENT_RESERVE - len(row) - 64
    seq = -1
    while len(data) < room:
        seq = next(seqs)
        data += _frame(Kind.ROW, row, seq, seq)
    at, mark = encode_mark(Mark(1, len(data), seq + 1))
    data[at : at + len(mark)] = mark
    assert len(data) > DATA
    with open(os.path.join(directory, segment_name(0, index)), "wb") as file:
        file.write(data.ljust(SEGMENT_SIZE, b"\0"))


def _frame(kind: int, payload: bytes, seq: int, step: int) -> bytes:
    body = BODY.pack(seq, step, kind, 0, MAGIC, 1, 0.0)
    return PREFIX.pack(len(payload), crc32(payload, crc32(body))) + body + payload


if __name__ == "__main__":
    main(run)
