"""team and delete, against a fake hub."""

import io
import json
import sys
from collections.abc import Callable

import pytest

from unit.cli.fake_hub import Answer, FakeHub, a_run

Respool = Callable[..., Answer]
GONE = {
    "entity": "ada", "project": "digits", "run_id": "one", "attempts": 2, "rows": 1234, "files": 1,
    "file_bytes": 2048, "checkpoints": 3,
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lab(hub: FakeHub) -> FakeHub:
    hub.pages["/v1/teams"] = {"teams": [{"team": "lab", "members": ["ada", "bob"]}]}
    hub.pages["/v1/teams/lab"] = {"team": "lab", "members": ["ada", "bob", "carl"]}
    hub.pages["/v1/teams/new"] = {"team": "new", "members": []}
    return hub


@pytest.mark.parametrize(
    ("words", "members"),
    [
        (("create", "new"), []),
        (("create", "new", "ada", "bob"), ["ada", "bob"]),
        (("add", "lab", "carl"), ["ada", "bob", "carl"]),
        (("remove", "lab", "bob"), ["ada"]),
    ],
)
def test_a_teams_members_are_what_they_were_and_what_is_said(
    lab: FakeHub, respool: Respool, words: tuple[str, ...], members: list[str]
) -> None:
    assert respool("team", *words).code == 0
    assert lab.asked[-1] == ("PUT", f"/v1/teams/{words[1]}", {"members": members})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "lab"), "'lab' exists"),
        (("add", "labs", "carl"), "no team 'labs'"),
        (("remove", "lab", "carl"), "'carl' is no member of 'lab'"),
    ],
)
def test_what_cannot_be_done_to_a_team_is_a_usage_error(
    lab: FakeHub, respool: Respool, words: tuple[str, ...], said: str
) -> None:
    answer = respool("team", *words)
    assert answer.code == 2
    assert said in answer.err
    assert not [one for one in lab.asked if one[0] == "PUT"]


def test_teams_are_listed_and_dropped(lab: FakeHub, respool: Respool) -> None:
    assert "ada, bob" in respool("team", "list").out
    assert json.loads(respool("team", "list", "--json").out)["team"] == "lab"
    assert respool("team", "drop", "lab").code == 0
    assert lab.asked[-1][:2] == ("DELETE", "/v1/teams/lab")


@pytest.fixture
def doomed(hub: FakeHub) -> FakeHub:
    path = "/v1/runs/ada/digits/one"
    hub.runs(a_run("one"))
    asked = hub.asked
    attempts = [
        {"number": 2, "state": "running", "pid": 7, "node": "node7"},
        {"number": 1, "state": "crashed"},
    ]
    hub.pages[path] = lambda _: GONE if asked[-1][0] == "DELETE" else a_run("one", attempts=attempts)
    hub.pages[path + "/deletion"] = GONE
    return hub


def deletions(hub: FakeHub) -> list[str]:
    return [path for method, path, _ in hub.asked if method == "DELETE"]


def test_a_run_is_deleted_without_a_question_when_told_so(doomed: FakeHub, respool: Respool) -> None:
    answer = respool("delete", "one", "--yes")
    assert (answer.code, deletions(doomed)) == (0, ["/v1/runs/ada/digits/one"])
    amount = "2 attempts, 1 234 rows, 1 file, 3 checkpoints (2.0 KiB in files)"
    assert answer.out == f"Deleted ada/digits/one: {amount}.\n"
    assert json.loads(respool("delete", "one", "--yes", "--json").out) == GONE


@pytest.mark.parametrize(("said", "gone"), [("y\n", True), ("YES\n", True), ("n\n", False), ("", False)])
def test_a_question_at_a_terminal_says_what_goes_and_only_a_yes_deletes(
    doomed: FakeHub, respool: Respool, monkeypatch: pytest.MonkeyPatch, said: str, gone: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(said))
    answer = respool("delete", "one")
    assert (
        "ada/digits/one (running): 2 attempts, 1 234 rows, 1 file, 3 checkpoints (2.0 KiB in files)"
        in answer.err
    )
    assert "It is being written: attempt 2, pid 7 on node7." in answer.err
    assert (answer.code, bool(deletions(doomed))) == (0 if gone else 1, gone)


def test_without_a_terminal_nothing_is_deleted_unasked(
    doomed: FakeHub, respool: Respool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    answer = respool("delete", "one")
    assert (answer.code, deletions(doomed)) == (2, [])
    assert "--yes" in answer.err


def test_who_may_not_delete_a_run_is_told_that_and_not_asked_for_a_yes(
    doomed: FakeHub, respool: Respool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {"code": "forbidden", "cause": "Run ada/digits/one belongs to bob.", "advice": "Ask bob."}
    doomed.pages["/v1/runs/ada/digits/one/deletion"] = (403, refused)
    for stdin in (io.StringIO(""), Terminal("y\n")):
        monkeypatch.setattr(sys, "stdin", stdin)
        answer = respool("delete", "one")
        assert (answer.code, deletions(doomed)) == (2, [])
        assert "belongs to bob" in answer.err
        assert "--yes" not in answer.err
        assert "[y/N]" not in answer.err
