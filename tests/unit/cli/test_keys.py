"""login and key, against a fake hub."""

import json
import os
import tomllib
from collections.abc import Callable

import pytest

from unit.cli.fake_hub import Answer, FakeHub, a_run

Respool = Callable[..., Answer]
ME = {"user": "ada", "entity": "ada", "scopes": ["read", "write"], "key_id": "k1"}


@pytest.fixture
def welcoming(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    hub.pages["/v1/me"] = ME
    monkeypatch.delenv("RESPOOL_API_KEY")
    monkeypatch.delenv("RESPOOL_HUB_URL")
    return hub


def filed() -> dict[str, dict[str, object]]:
    path = os.path.join(os.environ["XDG_CONFIG_HOME"], "respool", "credentials.toml")
    with open(path, "rb") as file:
        return tomllib.load(file)["hubs"]


def test_login_keeps_a_key_that_the_hub_knows_and_the_next_command_uses_it(
    welcoming: FakeHub, respool: Respool
) -> None:
    answer = respool("login", welcoming.url + "/", "--key", "rsp_test")
    assert answer.code == 0
    assert "as ada" in answer.out
    assert "rsp_test" not in answer.out + answer.err
    assert filed() == {welcoming.url: {"api_key": "rsp_test"}}
    welcoming.runs(a_run("one"))
    assert respool("runs", "--hub", welcoming.url).code == 0


def test_the_only_login_is_the_hub_where_nothing_else_names_one(welcoming: FakeHub, respool: Respool) -> None:
    respool("login", welcoming.url, "--key", "rsp_test")
    welcoming.runs(a_run("one"))
    assert "digits/one" in respool("runs").out


def test_login_forgets_a_key_that_the_hub_does_not_know(welcoming: FakeHub, respool: Respool) -> None:
    assert respool("login", welcoming.url, "--key", "rsp_wrong").code == 3
    with pytest.raises(FileNotFoundError):
        filed()


def test_login_sends_no_key_over_an_open_network_unless_told_to(respool: Respool) -> None:
    answer = respool("login", "http://192.0.2.1:8787", "--key", "rsp_test")
    assert answer.code == 2
    assert "--insecure" in answer.err


@pytest.mark.parametrize("key", ["", "  ", "rsp_\n", "two words", "schlüssel"])
def test_login_refuses_what_is_no_key(welcoming: FakeHub, respool: Respool, key: str) -> None:
    key = key or " "
    answer = respool("login", welcoming.url, "--key", key)
    assert answer.code == (3 if key == "rsp_\n" else 2)


def test_a_new_key_alone_goes_to_the_output(hub: FakeHub, respool: Respool) -> None:
    hub.pages["/v1/keys"] = {"key_id": "k9", "key": "rsp_new"}
    answer = respool("key", "create", "--user", "ci", "--scope", "read", "--name", "nightly")
    assert answer.out == "rsp_new\n"
    assert hub.asked[-1] == (
        "POST", "/v1/keys", {"user": "ci", "scope": "read", "project": None, "name": "nightly"}
    )  # fmt: skip


def test_keys_are_listed_and_revoked_by_id(hub: FakeHub, respool: Respool) -> None:
    hub.pages["/v1/keys"] = {
        "keys": [{"key_id": "k9", "user": "ci", "scope": "read", "project": None, "name": ""}]
    }
    hub.pages["/v1/keys/k9"] = {}
    assert "k9" in respool("key", "list").out
    assert respool("key", "revoke", "k9").code == 0
    assert hub.asked[-1][:2] == ("DELETE", "/v1/keys/k9")
    assert json.loads(respool("key", "list", "--json").out)["key_id"] == "k9"
