"""Users, teams, and users who share a daemon's key."""

import pytest

from respoold.core.hubapi import ON_BEHALF_OF
from unit.hub.kit import name, rows
from unit.hub.test_http import RUN, Web, web

__all__ = ["web"]
A, B, C = name(1), name(2), name(3)


@pytest.fixture
def bert(web):
    made = web.root.json("POST", "/v1/keys", 201, json={"user": "bert", "scope": "write"})
    return Web(web.client, made["key"])


@pytest.fixture
def lab(web, bert):
    """A team of anna and bert."""
    return web.root.json("PUT", "/v1/teams/lab", json={"members": ["bert", "anna", "anna"]})


def test_members_see_each_others_runs_in_the_team_and_write_to_their_own(web, bert, lab):
    assert lab["members"] == ["anna", "bert"]
    web.attach(A, entity="lab")
    web.append(A, 0, rows(0, range(3)))
    path = "/v1/runs/lab/p/run"
    assert bert.json("GET", path)["rows"] == 3
    assert [run["entity"] for run in bert.json("GET", "/v1/runs")["runs"]] == ["lab"]
    said = bert.attach(B, 403, entity="lab", dead=[A])
    assert said["cause"] == "Run lab/p/run belongs to anna, not to bert."
    assert bert.json("DELETE", path, 403)["code"] == "forbidden"
    assert bert.append(A, 3, b"", 404)["code"] == "unknown-attempt"
    bert.attach(C, entity="lab", run_id="berts")
    assert {run["run_id"] for run in web.json("GET", "/v1/runs?entity=lab")["runs"]} == {"run", "berts"}


def test_the_entity_is_the_user_unless_named(web):
    assert web.attach(A)["entity"] == "anna"
    assert web.json("GET", "/v1/me") | {"key_id": ""} == {
        "user": "anna",
        "entity": "anna",
        "scopes": ["read", "write"],
        "key_id": "",
        "project": None,
        "teams": [],
        "expires_at": None,
    }


def test_who_is_no_member_learns_nothing_of_a_team(web, lab):
    made = web.root.json("POST", "/v1/keys", 201, json={"user": "carl", "scope": "write"})
    carl = Web(web.client, made["key"])
    web.attach(A, entity="lab")
    assert carl.json("GET", "/v1/teams")["teams"] == []
    for entity in ("lab", "nowhere"):
        assert carl.json("GET", f"/v1/runs/{entity}/p/run", 404)["code"] == "missing"
        assert carl.json("GET", f"/v1/runs?entity={entity}", 404)["code"] == "missing"
        said = carl.attach(B, 404, entity=entity)
        assert said["code"] == "missing"
        assert said["cause"] == f"There is no entity {entity!r} that carl may use."
        assert said["advice"].endswith(f"into the team of that name: respool team add {entity} carl.")


def test_a_name_that_no_entity_can_have_is_refused_as_that_of_an_entity(web):
    said = web.attach(A, 400, entity="a#b")
    assert said["advice"].startswith("entity 'a#b' cannot be used; take 1 to 128 characters")


def test_who_left_a_team_sees_it_no_more_and_no_longer_writes_to_it(web, bert, lab):
    bert.attach(B, entity="lab", run_id="berts")
    web.root.json("PUT", "/v1/teams/lab", json={"members": ["anna"]})
    assert bert.json("GET", "/v1/runs/lab/p/berts", 404)["code"] == "missing"
    assert bert.attach(C, 404, entity="lab", run_id="berts")["code"] == "missing"
    assert web.json("GET", "/v1/runs/lab/p/berts")["run_id"] == "berts"


@pytest.mark.parametrize(
    ("team", "members", "status"),
    [
        ("lab", ["nobody"], 404),
        ("anna", ["bert"], 409),
        ("a+b", ["bert"], 409),
        ("lab", "anna", 400),
        ("lab", [5], 400),
        ("lab", ["anna"] * 1001, 400),
    ],
)
def test_teams_that_cannot_be_are_refused(web, bert, team, members, status):
    said = web.root.json("PUT", f"/v1/teams/{team}", status, json={"members": members})
    assert said["cause"].endswith(".")
    assert web.root.json("GET", "/v1/teams")["teams"] == []


def test_only_admins_make_and_remove_teams_and_teams_have_no_keys(web, lab):
    assert web.json("PUT", "/v1/teams/mine", 403, json={"members": []})["code"] == "forbidden"
    assert web.json("DELETE", "/v1/teams/lab", 403)["code"] == "forbidden"
    assert web.root.json("POST", "/v1/keys", 409, json={"user": "lab", "scope": "read"})["code"] == "conflict"
    web.attach(A, entity="lab")
    assert "still has runs" in web.root.json("DELETE", "/v1/teams/lab", 409)["cause"]
    web.json("DELETE", "/v1/runs/lab/p/run")
    web.root.json("DELETE", "/v1/teams/lab")
    assert web.root.json("DELETE", "/v1/teams/lab", 404)["code"] == "missing"


def test_users_who_share_a_daemons_key_do_not_see_each_other(web):
    def of(login):
        shared = Web(web.client, "")
        shared.headers = {**web.headers, ON_BEHALF_OF: login}
        return shared

    ada, bob = of("ada"), of("b%C3%B6b")
    assert ada.attach(A)["entity"] == "anna+ada"
    assert bob.attach(B)["entity"] == "anna+böb"
    assert [run["entity"] for run in bob.json("GET", "/v1/runs")["runs"]] == ["anna+böb"]
    assert bob.json("GET", "/v1/runs/anna+ada/p/run", 404)["code"] == "missing"
    assert bob.append(A, 0, b"", 404)["code"] == "unknown-attempt"
    assert web.json("GET", "/v1/runs")["runs"] == [], "the account itself is one more user"
    assert len(web.root.json("GET", "/v1/runs")["runs"]) == 2
    boss = Web(web.client, "")
    boss.headers = {**web.root.headers, ON_BEHALF_OF: "eve"}
    assert boss.json("GET", "/v1/me")["scopes"] == ["read", "write"], "an admin's key makes no admins"
    assert boss.json("GET", "/v1/runs/anna+ada/p/run", 404)["code"] == "missing"
    assert of("a/b").json("GET", "/v1/runs", 400)["code"] == "bad-request"
    assert web.json("GET", RUN, 404)["code"] == "missing"
