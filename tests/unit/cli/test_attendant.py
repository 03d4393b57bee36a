"""What `respool run` waits for when its job is over. Daemon and signals are fakes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from respoold.cli.attendant import Attendant


class Quiet:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Laden:
    """A daemon whose hub is away."""

    def status(self) -> dict[str, Any]:
        return {"runs": [{"project": "p", "run_id": "r", "pending_records": 7, "pending_bytes": 2048}]}


@contextmanager
def laden(_: Any) -> Iterator[Laden]:
    yield Laden()


def test_ctrl_c_ends_the_wait_for_a_hub_and_a_second_sigterm_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coming = [None, int(signal.SIGTERM), None, int(signal.SIGINT)]
    monkeypatch.setattr("respoold.cli.attendant.SAID_SECONDS", 0.0)
    monkeypatch.setattr("respoold.cli.attendant.fetch", lambda _: coming.pop(0))
    monkeypatch.setattr("respoold.cli.attendant.open_daemon", laden)
    screen: Any = Quiet()
    with ExitStack() as stack:
        attendant = Attendant(None, screen, stack)  # type: ignore[arg-type]
        attendant.drained(500)
        attendant.drained(500)
    assert coming == []
    assert len(screen.notes) == 2
    assert "at most 500 s; Ctrl-C" in screen.notes[0]
    assert "not sent yet: p/r 7 records (2.0 KiB)" in screen.notes[1]


def test_what_is_not_sent_when_the_time_is_over_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("respoold.cli.attendant.fetch", lambda _: None)
    monkeypatch.setattr("respoold.cli.attendant.open_daemon", laden)
    screen: Any = Quiet()
    with ExitStack() as stack:
        attendant = Attendant(None, screen, stack, socket="")  # type: ignore[arg-type]
        for _ in range(2):
            attendant.drained(0.05)
    assert screen.notes == [
        "respool: not sent yet: p/r 7 records (2.0 KiB); it stays in the spool, the daemon goes on."
    ]
