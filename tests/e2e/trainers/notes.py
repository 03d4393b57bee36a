"""What the trainers of these tests share: their notes, made after the fact, and values that name their maker."""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from zlib import crc32


class Notes:
    """A file of one line a fact. A note is one write(2), so a SIGKILL leaves it whole or not at all."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def begun(self, run, seconds: float) -> None:
        """What init() answered, before anything was logged."""
        facts = {
            "attempt_id": run.attempt_id,
            "number": run.attempt,
            "run_id": run.id,
            "resumed": run.resumed,
            "resumed_unknown": run.resumed_unknown,
            "step": run.step,
            "config": dict(run.config),
            "summary": dict(run.summary),
            "init_seconds": seconds,
            "pid": os.getpid(),
        }
        self.say(json.dumps(facts, default=repr))

    def row(self, step: int, value: float) -> None:
        self.say(f"{step} {value!r}")

    def say(self, line: str) -> None:
        os.write(self._fd, line.encode() + b"\n")

    def remark(self, text: str) -> None:
        self.say(f"# {text}")


def value_of(attempt_id: str, step: int) -> float:
    return crc32(f"{attempt_id}:{step}".encode()) / 4294967296


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("--truth", required=True)
    made.add_argument("--project", required=True)
    made.add_argument("--id", required=True)
    made.add_argument("--resume", default="allow")
    made.add_argument("--join", type=int, default=0)
    return made


def begin(options: argparse.Namespace, **more):
    """init() as asked, and its notes."""
    import respool

    notes = Notes(options.truth)
    before = time.monotonic()
    resume = {"none": None, "true": True}.get(options.resume, options.resume)
    more = {**more, **({"join": True} if options.join else {})}
    run = respool.init(project=options.project, id=options.id or None, resume=resume, **more)
    notes.begun(run, time.monotonic() - before)
    return run, notes


def hang() -> None:
    """Live on until somebody kills this process."""
    while True:
        signal.pause()
