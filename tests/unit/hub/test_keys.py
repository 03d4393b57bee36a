import os
import stat

import pytest

from respool_hub.service.access import Caller, Scope
from respool_hub.service.keys import Wish, caller_of, digest_of, grant
from respool_hub.service.refusal import RefusalError
from unit.hub.kit import ANNA, BERT, ROOT, Desk, name
from unit.hub.test_http import RUN, Web, web

__all__ = ["web"]
A = name(1)


def made(desk, caller, wish, at):
    return desk.read(lambda reader: grant(reader, caller, wish, at))


def test_the_first_start_makes_one_admin_key_only_its_owner_can_read(tmp_path):
    for _ in range(2):
        Desk(tmp_path / "data").close()
    path = tmp_path / "data" / "admin-key"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    desk = Desk(tmp_path / "data")
    try:
        [row] = desk.read(lambda reader: reader.keys(None))
        assert row.digest == digest_of(path.read_text().strip())
        assert caller_of(row).admin
    finally:
        desk.close()


@pytest.mark.parametrize(
    ("caller", "wish"),
    [
        (ANNA, Wish("admin")),
        (ANNA, Wish("write", user="bert")),
        (Caller("anna", Scope.READ, None, "k"), Wish("write")),
        (Caller("anna", Scope.WRITE, "p", "k"), Wish("write")),
        (Caller("anna", Scope.WRITE, "p", "k"), Wish("read", project="q")),
    ],
)
def test_nobody_makes_a_key_that_may_more_than_his_own(desk, caller, wish):
    with pytest.raises(RefusalError) as refused:
        made(desk, caller, wish, 0.0)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("caller", "wish"),
    [
        (ANNA, Wish("write")),
        (ANNA, Wish("read", project="p")),
        (ROOT, Wish("admin", user="bert")),
        (Caller("anna", Scope.WRITE, "p", "k"), Wish("read", project="p")),
    ],
)
def test_what_one_may_a_new_key_may(desk, caller, wish):
    new = made(desk, caller, wish, 5.0)
    assert new.key.startswith("rsp_")
    assert len(new.key) == 44
    assert new.row.digest == digest_of(new.key)
    assert new.key not in str(new.row)


@pytest.mark.parametrize(
    "wish", [Wish("root"), Wish("read", user="a/b"), Wish("read", project=""), Wish("read", name="x" * 999)]
)
def test_wishes_that_cannot_be_are_refused(desk, wish):
    with pytest.raises(RefusalError) as refused:
        made(desk, ROOT, wish, 0.0)
    assert refused.value.status == 400


def test_a_key_never_outlives_the_one_that_it_was_made_with(desk):
    first = made(desk, ROOT, Wish("write", user="anna", expires_in=100.0), 1000.0)
    desk.write(lambda tx: tx.add_key(first.row))
    anna = caller_of(first.row)
    for wish in (Wish("read"), Wish("read", expires_in=500.0)):
        assert made(desk, anna, wish, 1050.0).row.expires_at == 1100.0
    assert made(desk, anna, Wish("read", expires_in=10.0), 1050.0).row.expires_at == 1060.0


def test_an_expired_key_is_out_and_says_since_when(web, desk):
    short = web.json("POST", "/v1/keys", 201, json={"scope": "read", "expires_in": 60})
    mine = Web(web.client, short["key"])
    assert mine.json("GET", "/v1/me")["expires_at"] == short["expires_at"] == desk.clock.wall() + 60
    desk.clock.advance(60)
    assert "expired on 1970-01-12" in mine.json("GET", "/v1/me", 401)["cause"]


def test_a_list_says_when_a_key_was_last_used_in_steps_of_minutes(web, desk):
    def used():
        desk.write(lambda tx: None)  # nobody waits for the note that a key was used
        keys = {key["key_id"]: key["used_at"] for key in web.root.json("GET", "/v1/keys")["keys"]}
        return keys[web.key_id]

    assert used() is None
    web.ask("GET", "/v1/me")
    first = used()
    assert first == desk.clock.wall()
    for seconds, expected in ((100, first), (250, first + 350)):
        desk.clock.advance(seconds)
        web.ask("GET", "/v1/me")
        assert used() == expected


def test_a_revoked_key_is_out_at_once_and_says_so(web):
    assert web.ask("GET", "/v1/me").status_code == 200
    assert web.root.ask("DELETE", f"/v1/keys/{web.key_id}").status_code == 200
    said = web.json("GET", "/v1/me", 401)
    assert "revoked" in said["cause"]
    assert web.root.json("DELETE", f"/v1/keys/{web.key_id}", 404)["code"] == "missing"


def test_a_key_too_weak_is_403_and_no_key_401(web):
    weak = Web(web.client, web.json("POST", "/v1/keys", 201, json={"scope": "read"})["key"])
    assert weak.json("GET", "/v1/me")["scopes"] == ["read"]
    assert weak.attach(A, 403)["code"] == "forbidden"
    assert weak.ask("PUT", "/v1/blobs/" + "0" * 64, content=b"").status_code == 403


def test_others_runs_files_and_keys_are_not_to_be_seen(web):
    web.attach(A)
    bert = Web(
        web.client, web.root.json("POST", "/v1/keys", 201, json={"user": "bert", "scope": "write"})["key"]
    )
    for path in (RUN, RUN + "/history", RUN + "/files", RUN + "/files/x", "/v1/runs?entity=anna"):
        assert bert.json("GET", path, 404)["code"] == "missing"
        nobody = bert.json("GET", path.replace("anna", "nobody"), 404)
        assert str(nobody).replace("nobody", "anna") == str(bert.json("GET", path, 404))
    assert bert.json("GET", "/v1/runs")["runs"] == []
    assert {key["user"] for key in bert.json("GET", "/v1/keys")["keys"]} == {"bert"}
    assert bert.json("DELETE", f"/v1/keys/{web.key_id}", 404)["code"] == "missing"
    assert bert.append(A, 0, b"", 404)["code"] == "unknown-attempt"
    assert bert.attach(name(2), 404, entity="anna")["code"] == "missing"
    assert bert.attach(A, 409)["cause"] == f"The attempt id {A} is taken."
    assert len(web.root.json("GET", "/v1/runs")["runs"]) == 1


def test_a_key_for_a_project_sees_no_other(web):
    web.attach(A)
    made = web.json("POST", "/v1/keys", 201, json={"scope": "write", "project": "q"})
    bound = Web(web.client, made["key"])
    assert bound.json("GET", "/v1/runs")["runs"] == []
    assert bound.json("GET", "/v1/runs?project=p", 403)["code"] == "forbidden"
    assert bound.json("GET", RUN, 404)["code"] == "missing"
    assert bound.append(A, 0, b"", 404)["code"] == "unknown-attempt"
    assert bound.attach(name(2), 403)["code"] == "forbidden"


def test_garbage_for_keys_is_a_bad_request(web):
    for body in (
        b"",
        b"[]",
        b"{",
        b'{"scope": 5}',
        b"[" * 50_000,
        b'{"scope": "read", "user": 7}',
        b"\xff\xfe",
    ):
        answer = web.ask("POST", "/v1/keys", content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-request"), body


def test_no_list_shows_a_key_or_its_digest(web):
    for key in web.root.json("GET", "/v1/keys")["keys"]:
        times = {"created_at", "revoked_at", "expires_at", "used_at"}
        assert set(key) == {"key_id", "user", "scope", "project", "name"} | times


def test_callers_are_who_their_rows_say(desk):
    assert BERT.user == "bert"
    assert desk.hub.name == "127.0.0.1:0"
