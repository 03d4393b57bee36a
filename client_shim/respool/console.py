"""The console: what the script prints, kept line by line as CONSOLE records {"stream", "text", "skipped"}.

A stream keeps its identity: only its `write` is listened to, so whoever holds the stream (print, a logging
handler made long ago) is heard, and whoever replaces it or wraps it in turn is not disturbed. The line goes out
first, as it always did; what happens to its copy never reaches who printed it.

A line is a record as soon as it ends, because a process may be killed right behind it. What a carriage return
overwrote is not kept. Beyond a rate and a total lines are skipped, by count. Not heard: what C code or child
processes write to the descriptors themselves.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from respool import notices

if TYPE_CHECKING:
    from respool.redaction import Redactor

LINES_PER_SECOND, LINES_AT_ONCE = 100.0, 1000.0
BYTES_PER_SECOND, BYTES_AT_ONCE = float(64 << 10), float(512 << 10)
MOST_BYTES = 16 << 20
LONGEST_LINE = 4096
_LOOKED_AT = 1 << 20


class Budget:
    """How much may be kept: so many lines and bytes a second, more at once after a pause, and a total."""

    def __init__(self, now: float) -> None:
        self._lines, self._bytes = LINES_AT_ONCE, BYTES_AT_ONCE
        self._left = MOST_BYTES
        self._at = now

    def take(self, size: int, now: float) -> bool:
        """Whether a line of this size may be kept."""
        passed, self._at = max(0.0, now - self._at), now
        self._lines = min(LINES_AT_ONCE, self._lines + passed * LINES_PER_SECOND)
        self._bytes = min(BYTES_AT_ONCE, self._bytes + passed * BYTES_PER_SECOND)
        if self._lines < 1 or self._bytes < size or self._left < size:
            return False
        self._lines, self._bytes, self._left = self._lines - 1, self._bytes - size, self._left - size
        return True


class Tap:
    """One stream whose `write` is listened to. `take` gets (this tap, text) once the stream has it."""

    def __init__(self, stream: Any, name: str, take: Callable[[Tap, str], None]) -> None:
        self.name = name
        self.partial = ""
        self.redactor: Redactor | None = None
        self._stream = stream
        self._take: Callable[[Tap, str], None] | None = take
        self._write = stream.write
        self._hook = self._heard
        stream.write = self._hook

    def _heard(self, text: Any, *args: Any) -> Any:
        result = self._write(text, *args)
        take = self._take
        if take is not None and isinstance(text, str):
            take(self, text)
        return result

    def close(self) -> None:
        """Listen no more. Who wrapped the stream in turn goes on calling us, and we the stream."""
        self._take = None
        if getattr(self._stream, "__dict__", {}).get("write") is self._hook:
            del self._stream.write


class Console:
    """Listens to standard output and error. `keep` gets each record; while `busy()` says that this thread is
    inside what `keep` would need, records wait for the next line.
    """

    def __init__(self, keep: Callable[[dict[str, Any]], None], busy: Callable[[], bool]) -> None:
        self._keep = keep
        self._busy = busy
        self._lock = threading.RLock()
        self._inside = False
        self._waiting: deque[tuple[Tap, str]] = deque(maxlen=1000)
        self._skipped = 0
        self._budget = Budget(monotonic())
        self._taps: list[Tap] = []
        streams = {
            id(stream): (stream, name) for name in ("stderr", "stdout") if (stream := getattr(sys, name))
        }
        for stream, name in streams.values():
            try:
                self._taps.append(Tap(stream, name, self._heard))
            except (AttributeError, TypeError):
                continue  # a stream that cannot be listened to; it goes on as it was

    def forsake(self) -> None:
        """Listen no more, and take no lock: this is a forked child."""
        for tap in self._taps:
            tap.close()
        self._taps = []

    def close(self) -> None:
        """Listen no more; what no newline ended is kept as a line."""
        for tap in self._taps:
            tap.close()
            if tap.partial:
                self._heard(tap, "\n")
        if self._skipped:
            self._keep({"stream": "stderr", "text": "", "skipped": self._skipped})
        self._taps = []

    def _heard(self, tap: Tap, text: str) -> None:
        if notices.speaker == threading.get_ident():
            return
        self._waiting.append((tap, text[: _LOOKED_AT + 1]))
        # Printed from within log(), by a destructor say: to wait for our lock here could be for ever.
        if self._busy():
            return
        with self._lock:
            if self._inside:
                return
            self._inside = True
            try:
                while self._waiting:
                    self._feed(*self._waiting.popleft())
            finally:
                self._inside = False

    def _feed(self, tap: Tap, text: str) -> None:
        if len(text) > _LOOKED_AT:
            self._skipped += 1
        *lines, rest = (tap.partial + text).split("\n")
        tap.partial = rest[rest.rfind("\r", 0, -1) + 1 :][:LONGEST_LINE]
        for line in lines:
            self._line(tap, line)

    def _line(self, tap: Tap, line: str) -> None:
        line = line.rstrip("\r \t")
        line = line[line.rfind("\r") + 1 :][:LONGEST_LINE]
        if not line.strip():
            return
        if not self._budget.take(len(line), monotonic()):
            self._skipped += 1
            return
        if tap.redactor is None:
            from respool.redaction import Redactor  # noqa: PLC0415 - its patterns cost the first line, not init()

            tap.redactor = Redactor()
        clean = tap.redactor.line(line)
        if clean:
            record: dict[str, Any] = {"stream": tap.name, "text": clean}
            if self._skipped:
                record["skipped"], self._skipped = self._skipped, 0
            self._keep(record)
