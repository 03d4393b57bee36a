"""One machine for all tests here; what took how long is told at the end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import pytest

from e2e.systemd.machine import Machine, cannot
from e2e.systemd.service import Service, build_wheel

TIMES = pytest.StashKey[list[tuple[str, float]]]()


class Timing(Protocol):
    def __call__(self, what: str) -> AbstractContextManager[None]: ...


@pytest.fixture(scope="session")
def timing(request: pytest.FixtureRequest) -> Timing:
    times = request.config.stash.setdefault(TIMES, [])

    @contextmanager
    def measure(what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        times.append((what, time.monotonic() - began))

    return measure


@pytest.fixture(scope="session")
def service(timing: Timing) -> Iterator[Service]:
    """respool installed, the hub running, the daemon's socket enabled, the daemon never started."""
    reason = cannot()
    if reason:
        pytest.skip(f"systemd-nspawn cannot boot here: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        with timing("building the wheel"):
            wheel = build_wheel(folder)
        with timing("booting systemd"):
            machine = Machine().__enter__()
        try:
            made = Service(machine)
            with timing("installing respool"):
                made.install(wheel)
            with timing("install-units, the hub, its key"):
                made.configure()
            yield made
            made.view.close()
        finally:
            with timing("switching it off"):
                machine.stop()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    times = config.stash.get(TIMES, [])
    if times:
        terminalreporter.section("under a real systemd")
    for what, seconds in times:
        terminalreporter.write_line(f"{seconds:8.2f} s  {what}")
