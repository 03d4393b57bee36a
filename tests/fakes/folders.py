"""Spool folders made record by record, as shims and daemons leave them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from respool.wire import codec
from respool.wire.frames import NO_STEP, Kind, encode
from respool.wire.segment import SegmentHeader, encode_header, segment_name

BEGAN = 1.7e9


class Folder:
    """One attempt in a spool. `seq` is the next record's; each method appends to the newest segment of writer 0."""

    def __init__(self, spool: str, attempt_id: str, run_id: str = "mlp-1", **more: Any) -> None:
        self.attempt_id = attempt_id
        self.path = os.path.join(spool, attempt_id)
        self.seq = 0
        self.records: list[tuple[int, bytes]] = []
        os.makedirs(os.path.join(self.path, "blobs"))
        request = {"project": "digits", "run_id": run_id, "original_id": run_id, "incarnation": attempt_id}
        asked = {"resume": "allow", "node": "elsewhere", "pid": 7, "boot_id": "other", "started_at": BEGAN}
        mine = more.pop("request", {})
        paper = {"attempt_id": attempt_id, "request": request | asked | mine, "uid": os.getuid(), **more}
        with open(os.path.join(self.path, "attempt.json"), "w", encoding="utf-8") as file:
            json.dump(paper, file)
        self.segment(0)

    def segment(self, index: int) -> None:
        """Begin another segment."""
        self._segment = os.path.join(self.path, segment_name(0, index))
        with open(self._segment, "wb") as file:
            file.write(encode_header(SegmentHeader(self.attempt_id, 0, index, BEGAN)))
        summary = {"config": {"rate": 0.1}, "summary": {}, "meta": {}, "last_step": None}
        self.record(Kind.SNAPSHOT, summary)

    def record(self, kind: int, value: dict[str, Any], step: int = NO_STEP) -> None:
        raw = encode(kind, codec.pack(value), seq=self.seq, step=step, time=BEGAN + self.seq)
        self.records.append((self.seq, raw))
        self.seq += 1
        with open(self._segment, "ab") as file:
            file.write(raw)

    def rows(self, steps: Sequence[int], **values: Any) -> Folder:
        for step in steps:
            self.record(Kind.ROW, {"loss": 1 / (step + 1), **values}, step)
        return self

    def file(self, name: str, data: bytes, step: int = NO_STEP) -> str:
        """A committed version; the path of its bytes."""
        token = f"t{self.seq}"
        path = os.path.join(self.path, "blobs", token)
        with open(path, "wb") as file:
            file.write(data)
        self.record(Kind.FILE, {"name": name, "blob": token, "size": len(data)}, step)
        return path

    def end(self, exit_code: int = 0) -> Folder:
        self.record(Kind.STATE, {"state": "ended", "exit_code": exit_code, "reason": "finish"})
        return self

    @property
    def newest(self) -> str:
        """The path of the newest segment."""
        return self._segment
