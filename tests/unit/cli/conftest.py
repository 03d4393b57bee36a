"""A respool that is called in this process, and a hub that is a dictionary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from respool.command import main
from unit.cli.fake_hub import Answer, FakeHub, handler_of


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    fake = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(fake))
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("RESPOOL_HUB_URL", fake.url)
    monkeypatch.setenv("RESPOOL_API_KEY", fake.key)
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _nobody_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No test reads the keys, sockets and settings of whoever runs it."""
    for name in ("RESPOOL_HUB_URL", "RESPOOL_API_KEY", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("RESPOOL_SOCKET", str(tmp_path / "nobody.sock"))
    monkeypatch.setattr("respoold.cli.places.SYSTEM_SOCKET", str(tmp_path / "system.sock"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def respool(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def call(*words: str) -> Answer:
        capfd.readouterr()
        try:
            code = main(list(words))
        except SystemExit as end:  # argparse's own
            code = end.code if isinstance(end.code, int) else 1
        out, err = capfd.readouterr()
        return Answer(int(code), out, err)

    return call
