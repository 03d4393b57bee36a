"""login and key, against a fake hub."""

import json
import os
import time
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


def test_a_login_that_reaches_nobody_names_its_own_argument(respool: Respool) -> None:
    answer = respool("login", "http://127.0.0.1:9", "--key", "rsp_test")
    assert answer.code == 3
    assert "--hub" not in answer.err
    assert "name the right one: respool login URL" in answer.err


def test_login_forgets_a_key_that_the_hub_does_not_know(welcoming: FakeHub, respool: Respool) -> None:
    assert respool("login", welcoming.url, "--key", "rsp_wrong").code == 2
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
    assert answer.code == 2


def test_a_new_key_alone_goes_to_the_output(hub: FakeHub, respool: Respool) -> None:
    hub.pages["/v1/keys"] = {"key_id": "k9", "key": "rsp_new"}
    answer = respool("key", "create", "--user", "ci", "--scope", "read", "--name", "nightly")
    assert answer.out == "rsp_new\n"
    assert hub.asked[-1] == (
        "POST", "/v1/keys", {"user": "ci", "scope": "read", "project": None, "name": "nightly"}
    )  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), [("12h", 43200.0), ("30d", 2592000.0), ("4w", 2419200.0)])
def test_a_key_may_end_by_itself_and_is_ones_own_unless_named(
    hub: FakeHub, respool: Respool, text: str, seconds: float
) -> None:
    hub.pages["/v1/keys"] = {"key_id": "k9", "key": "rsp_new", "user": "ada", "expires_at": 1.8e9}
    answer = respool("key", "create", "--expires", text)
    assert hub.asked[-1][2] == {
        "user": "", "scope": "write", "project": None, "name": "", "expires_in": seconds,
    }  # fmt: skip
    assert "the key k9 of ada: write until 2027-01-1" in answer.err


@pytest.mark.parametrize("text", ["soon", "0d", "3", "d", "1.5d", ""])
def test_a_time_that_is_none_is_a_usage_error(respool: Respool, text: str) -> None:
    answer = respool("key", "create", "--expires", text)
    assert answer.code == 2
    assert "no time such as 12h" in answer.err


def test_keys_are_listed_and_revoked_by_id(hub: FakeHub, respool: Respool) -> None:
    now = time.time()
    one = {
        "key_id": "k9",
        "user": "ci",
        "scope": "read",
        "project": None,
        "name": "",
        "created_at": now - 7200,
    }
    hub.pages["/v1/keys"] = {
        "keys": [
            one | {"used_at": now - 300, "expires_at": now + 86400 * 5 + 60},
            one | {"key_id": "k8", "expires_at": now - 1},
            one | {"key_id": "k7", "revoked_at": now - 1},
        ]
    }
    hub.pages["/v1/keys/k9"] = {}
    lines = [line.split() for line in respool("key", "list").out.splitlines()[1:]]
    assert [(line[0], " ".join(line[4:])) for line in lines] == [
        ("k9", "2 h ago 5 min ago in 5 days"), ("k8", "2 h ago never expired"), ("k7", "2 h ago never revoked"),
    ]  # fmt: skip
    assert respool("key", "revoke", "k9").code == 0
    assert hub.asked[-1][:2] == ("DELETE", "/v1/keys/k9")
    assert json.loads(respool("key", "list", "--json").out.splitlines()[0])["key_id"] == "k9"


def test_an_empty_user_is_no_wish_for_a_key_of_ones_own(hub: FakeHub, respool: Respool) -> None:
    answer = respool("key", "create", "--user", "")
    assert (answer.code, "--user is empty" in answer.err) == (2, True)
    assert not hub.asked


@pytest.mark.parametrize("team", ["../keys", "a/b", "b a d", ".", ""])
def test_a_team_s_name_is_no_path(hub: FakeHub, respool: Respool, team: str) -> None:
    answer = respool("team", "create", team, "ada")
    assert (answer.code, "no team's name" in answer.err) == (2, True)
    assert not hub.asked
