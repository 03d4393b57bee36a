"""What systemd hands to the daemon: its folder, its key, its socket."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from respool.command import daemon
from respoold import config
from respoold.cli.commands import daemon as command
from respoold.config import Config, ConfigError, load

HUB = "https://hub.example"


@pytest.fixture(autouse=True)
def _no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "FILES", ())


def loaded(tmp_path: Path, **environ: str) -> Config:
    return load({"hub": HUB}, {"HOME": str(tmp_path), **environ})


def keep(tmp_path: Path, key: str) -> str:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/hub-key").write_text(key)
    return str(tmp_path / "credentials")


def test_the_spool_is_the_folder_that_systemd_made(tmp_path: Path) -> None:
    assert loaded(tmp_path, STATE_DIRECTORY="/var/lib/respool").spool == "/var/lib/respool"


def test_the_key_is_the_first_line_of_the_credential(tmp_path: Path) -> None:
    folder = keep(tmp_path, "rsp_one\nrsp_two\n")
    assert loaded(tmp_path, CREDENTIALS_DIRECTORY=folder).api_key == "rsp_one"


def test_a_key_in_the_environment_wins_over_the_credential(tmp_path: Path) -> None:
    folder = keep(tmp_path, "rsp_one\n")
    assert loaded(tmp_path, CREDENTIALS_DIRECTORY=folder, RESPOOL_API_KEY="rsp_own").api_key == "rsp_own"


@pytest.mark.parametrize("key", ["\n", ""])
def test_an_empty_credential_is_no_key(tmp_path: Path, key: str) -> None:
    assert loaded(tmp_path, CREDENTIALS_DIRECTORY=keep(tmp_path, key)).api_key is None


def test_credentials_without_ours_are_no_key(tmp_path: Path) -> None:
    assert loaded(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path)).api_key is None


def test_a_credential_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "hub-key").mkdir()
    with pytest.raises(ConfigError, match="the credential hub-key: cannot be read"):
        loaded(tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path))


def test_a_socket_that_systemd_holds_wins_and_its_folder_need_not_be_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Config] = []

    def serve(asked: Config) -> int:
        served.append(asked)
        return 0

    monkeypatch.setattr(command, "serve", serve)
    monkeypatch.setattr(command, "inherited_path", lambda: "/proc/held.sock")
    monkeypatch.setattr(sys, "argv", ["respoold", "--spool", str(tmp_path), "--socket", "/elsewhere"])
    assert daemon() == 0
    assert [one.socket for one in served] == ["/proc/held.sock"]


def test_without_systemd_the_sockets_folder_must_be_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["respoold", "--spool", str(tmp_path), "--socket", f"{tmp_path}/file/s"])
    assert daemon() == 2
    assert f"cannot use the folder {tmp_path}/file" in capsys.readouterr().err


def test_no_descriptor_is_left_by_asking_where_the_socket_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from respoold.io import socket as doors

    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(tmp_path / "held"))
        monkeypatch.setattr(doors, "inherited_listener", held.fileno)
        before = set(os.listdir("/proc/self/fd"))
        assert doors.inherited_path() == str(tmp_path / "held")
        assert set(os.listdir("/proc/self/fd")) == before
        assert held.getsockname() == str(tmp_path / "held")
