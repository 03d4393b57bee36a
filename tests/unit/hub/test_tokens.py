"""What a key is exchanged for: a token that is good for one attempt."""

import pytest
from blake3 import blake3

from respool.wire import codec
from respool.wire.frames import Kind
from respool_hub.service import token
from respoold.core import hubapi
from unit.hub.kit import Desk, name, record, row, rows, served
from unit.hub.test_http import RUN, Web, web

__all__ = ["web"]
A, B = name(1), name(2)


@pytest.fixture
def mine(web):
    """Who shows the token of anna's attempt A."""
    return Web(web.client, web.attach(A)["token"])


def test_a_token_appends_uploads_reports_and_beats_for_its_attempt(web, mine):
    assert mine.append(A, 0, rows(0, range(5)))["next_seq"] == 5
    data = b"weights"
    digest = blake3(data).hexdigest()
    assert mine.ask("PUT", f"/v1/blobs/{digest}", content=data).status_code == 200
    assert mine.ask("HEAD", f"/v1/blobs/{digest}").status_code == 200
    mine.pack(f"/v1/attempts/{A}/files", hubapi.FileCommit("model.pt", digest, len(data), 5))
    mine.pack(f"/v1/attempts/{A}/state", hubapi.StateReport("preempting"))
    answer = mine.pack("/v1/heartbeat", hubapi.Beat("n1", "d", {A: {"alive": True}}))
    assert (answer["unknown"], answer["commands"]) == ([], {})
    assert web.json("GET", RUN)["state"] == "preempting"


def test_a_token_reads_the_files_of_its_own_run_and_nothing_else(web, mine):
    data = b"weights"
    digest = blake3(data).hexdigest()
    mine.ask("PUT", f"/v1/blobs/{digest}", content=data)
    mine.append(A, 0, record(Kind.FILE, 0, {"name": "model.pt", "blob": "t", "size": len(data)}))
    mine.pack(f"/v1/attempts/{A}/files", hubapi.FileCommit("model.pt", digest, len(data), 0))
    assert mine.ask("GET", RUN + "/files/model.pt").content == data
    web.attach(B, run_id="other")
    assert mine.ask("GET", "/v1/runs/anna/p/other/files/model.pt").status_code == 404
    for method, path in (
        ("GET", "/v1/me"),
        ("GET", "/v1/runs"),
        ("GET", RUN),
        ("GET", RUN + "/history"),
        ("DELETE", RUN),
        ("GET", RUN + "/deletion"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("GET", "/v1/teams"),
        ("GET", "/v1/openapi.json"),
    ):
        answer = mine.ask(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


def test_a_token_does_nothing_for_another_attempt_even_of_the_same_run(web, mine):
    web.attach(B, dead=[A])
    assert mine.append(B, 0, b"", 404)["code"] == "unknown-attempt"
    assert mine.pack(f"/v1/attempts/{B}/state", hubapi.StateReport("ended"), 404)["code"] == "unknown-attempt"
    assert mine.pack("/v1/heartbeat", hubapi.Beat("n1", "d", {B: {}}))["unknown"] == [B]
    assert mine.attach(name(3), 403)["code"] == "forbidden"
    assert mine.attach(B, 403)["code"] == "forbidden"
    assert mine.attach(A, 403)["code"] == "forbidden", "a token attaches nobody: it only registers again"


def test_one_beat_speaks_for_attempts_of_several_keys_by_their_tokens(web, mine):
    bert = Web(
        web.client, web.root.json("POST", "/v1/keys", 201, json={"user": "bert", "scope": "write"})["key"]
    )
    theirs = bert.attach(B)["token"]
    beat = {A: {"alive": True}, B: {"alive": True, "token": theirs}, name(3): {"token": theirs}}
    assert mine.pack("/v1/heartbeat", hubapi.Beat("n1", "d", beat))["unknown"] == [name(3)]
    forged = {A: {}, B: {"token": theirs[:-1] + ("0" if theirs[-1] != "0" else "1")}}
    assert mine.pack("/v1/heartbeat", hubapi.Beat("n1", "d", forged))["unknown"] == [B]
    nonsense = {A: {"token": 7}, B: 5}
    assert mine.pack("/v1/heartbeat", hubapi.Beat("n1", "d", nonsense))["unknown"] == [B]


def test_a_token_ends_with_the_key_that_it_came_from_but_not_with_its_expiry(web, desk):
    short = web.json("POST", "/v1/keys", 201, json={"scope": "write", "expires_in": 60})
    mine = Web(web.client, Web(web.client, short["key"]).attach(A)["token"])
    desk.clock.advance(100)
    assert mine.append(A, 0, row(0, 0))["next_seq"] == 1
    web.json("DELETE", f"/v1/keys/{short['key_id']}")
    said = mine.append(A, 1, row(1, 1), 401)
    assert said["cause"] == f"The key ({short['key_id']}) that this token came from was revoked."


def test_a_token_is_the_same_for_every_retry_and_outlives_a_restart(tmp_path):
    tokens = []
    for start in range(2):
        desk = Desk(tmp_path / "data")
        try:
            with served(desk.hub, tmp_path / f"{start}.sock") as client:
                root = Web(client, (tmp_path / "data" / "admin-key").read_text().strip())
                tokens += [root.attach(A)["token"] for _ in range(2)]
                assert Web(client, tokens[0]).append(A, start, row(start, start))["next_seq"] == start + 1
        finally:
            desk.close()
    assert len(set(tokens)) == 1


def test_a_hub_that_lost_the_attempt_takes_it_again_from_its_token(web, mine, desk):
    # What a restored backup is like: the secret is the same, the attempt is not there.
    lost = Web(web.client, token.issue(desk.hub.secret, B, web.key_id))
    assert lost.append(B, 0, row(0, 0), 404)["code"] == "unknown-attempt"
    assert lost.attach(B, run_id="lost", offline=True)["number"] == 1
    assert lost.append(B, 0, row(0, 0))["next_seq"] == 1


@pytest.mark.parametrize(
    "forged",
    [
        "rst_",
        "rst_..",
        "rst_" + A + ".k",
        "rst_" + A + ".k." + "0" * 64,
        "rst_" + "é" * 20,
        "rst_" + "x" * 500,
    ],
)
def test_a_forged_token_is_401(web, forged):
    headers = {"authorization": f"Bearer {forged}".encode()}
    answer = web.client.post(f"/v1/attempts/{A}/records/0?first_seq=0", content=b"", headers=headers)
    assert (answer.status_code, codec.unpack(answer.content)["code"]) == (401, "unauthorized")


def test_tokens_of_one_secret_are_worthless_at_another_hub():
    mine = token.issue(b"a" * 32, A, "k1")
    assert token.read(b"a" * 32, mine) == token.Claim(A, "k1")
    assert token.read(b"b" * 32, mine) is None
    assert token.read(b"a" * 32, mine.replace(A, B)) is None
    assert token.read(b"a" * 32, mine.replace("k1", "k2")) is None
