"""A clean process for every test: its own folder and environment, no run, nothing said yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import respool
from fakes.daemon import FakeDaemon
from fakes.trainers import Trainer
from respool import current, environment, notices


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch) -> Iterator[None]:
    for variable in environment.TABLE:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setenv("RESPOOL_LASTING", "1")
    monkeypatch.setenv("RESPOOL_FREE_FLOOR", "0")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    # init() exports a launch; setting it first makes monkeypatch take it away again.
    monkeypatch.setenv("RESPOOL_LAUNCH_ID", "launch")
    monkeypatch.delenv("RESPOOL_LAUNCH_ID")
    monkeypatch.setattr("respool.local_join.WAIT_SECONDS", 0.0)
    monkeypatch.setenv("RESPOOL_SOCKET", str(tmp_path / "nobody.sock"))
    # Frames are compared one by one; the tests of these records switch them on again.
    monkeypatch.setenv("RESPOOL_ABOUT", "0")
    monkeypatch.setenv("RESPOOL_GIT", "0")
    notices.silent = notices.strictly = False
    current.ended = None
    notices.forget()
    yield
    while respool.run is not None:
        respool.finish()
    assert current.run is None


@pytest.fixture
def daemon(tmp_path, monkeypatch) -> Iterator[FakeDaemon]:
    folder = tmp_path / "daemon"
    folder.mkdir()
    made = FakeDaemon(str(folder)).start()
    monkeypatch.setenv("RESPOOL_SOCKET", made.path)
    yield made
    while respool.run is not None:
        respool.finish()
    made.die()
    for fd in made.held:
        os.close(fd)


@pytest.fixture
def spool(tmp_path) -> str:
    return os.path.join(str(tmp_path), "work", "respool", "spool")


@pytest.fixture
def start() -> Iterator[Callable[..., Trainer]]:
    """Starts a process that begins a run: start(its environment, **arguments of init())."""
    made: list[Trainer] = []

    def start(environ: dict[str, str] | None = None, **options: Any) -> Trainer:
        made.append(Trainer(os.getcwd(), environ or {}, options))
        return made[-1]

    yield start
    for trainer in made:
        if trainer.process.stdout is not None and not trainer.process.stdout.closed:
            trainer.kill()
