import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respoold.cli import credentials
from respoold.cli.credentials import Credential
from respoold.cli.errors import CommandError

URL = "https://hub.example"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "config" / "respool" / "credentials.toml")


def test_a_key_comes_back_and_the_file_is_for_its_owner_alone(path: str) -> None:
    credentials.save(path, URL + "/", Credential("rsp_a"))
    assert credentials.find(path, URL) == Credential("rsp_a")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(os.path.dirname(path)) == ["credentials.toml"]


def test_a_second_hub_does_not_disturb_the_first(path: str) -> None:
    credentials.save(path, URL, Credential("rsp_a"))
    credentials.save(path, "unix:/run/hub.sock", Credential("rsp_b", insecure=True))
    credentials.save(path, URL, Credential("rsp_c"))
    expected = {URL: Credential("rsp_c"), "unix:/run/hub.sock": Credential("rsp_b", insecure=True)}
    assert credentials.load(path) == expected


def test_the_daemon_finds_what_login_wrote(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.save(path, "unix:/run/hub.sock", Credential("rsp_b"))
    with open(path, "rb") as file:
        assert tomllib.load(file)["hubs"]["unix:/run/hub.sock"]["api_key"] == "rsp_b"


def test_a_file_that_others_can_read_is_refused_with_the_command_that_closes_it(path: str) -> None:
    credentials.save(path, URL, Credential("rsp_a"))
    os.chmod(path, 0o640)
    with pytest.raises(CommandError, match="mode 0640") as caught:
        credentials.load(path)
    assert f"chmod 600 {path}" in caught.value.advice


@pytest.mark.parametrize(
    "text",
    ["not toml", "[other]\na = 1\n", "hubs = 3\n", '[hubs."u"]\n', '[hubs."u"]\napi_key = 3\n',
     '[hubs."u"]\napi_key = "k"\nuser = "x"\n'],
)  # fmt: skip
def test_what_login_did_not_write_is_neither_used_nor_overwritten(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).write_text(text)
    os.chmod(path, 0o600)
    with pytest.raises(CommandError):
        credentials.save(path, URL, Credential("rsp_a"))
    assert Path(path).read_text() == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_as_a_toml_string(text: str) -> None:
    assert tomllib.loads(f"a = {credentials.quote(text)}")["a"] == text
