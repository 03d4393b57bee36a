import json
import os
from urllib.parse import quote

import pytest
import zstandard
from blake3 import blake3

from respool.wire import codec
from respool.wire.frames import Kind
from respool.wire.limits import MAX_BATCH
from respoold.core import hubapi
from unit.hub.kit import asked, name, record, row, rows, served

A, B = name(1), name(2)
RUN = "/v1/runs/anna/p/run"


@pytest.fixture
def web(desk, tmp_path):
    """A client with a write key of anna's; `web.root` with the admin's, `web.none` without any."""
    with served(desk.hub, tmp_path / "hub.sock") as client:
        key = (tmp_path / "data" / "admin-key").read_text().strip()
        root = Web(client, key)
        made = root.json("POST", "/v1/keys", 201, json={"user": "anna", "scope": "write", "name": "t"})
        anna = Web(client, made["key"])
        anna.root, anna.key_id, anna.client = root, made["key_id"], client
        yield anna


class Web:
    def __init__(self, client, key):
        self.client = client
        self.headers = {"authorization": f"Bearer {key}"}

    def ask(self, method, path, **more):
        headers = {**self.headers, **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def json(self, method, path, status=200, **more):
        answer = self.ask(method, path, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    def pack(self, path, shape, status=200):
        answer = self.ask("POST", path, content=hubapi.dump(shape))
        assert answer.status_code == status, answer.text
        return codec.unpack(answer.content)

    def append(self, attempt, first, data, status=200, **more):
        answer = self.ask("POST", f"/v1/attempts/{attempt}/records/0?first_seq={first}", content=data, **more)
        assert answer.status_code == status, answer.text
        return codec.unpack(answer.content)

    def attach(self, attempt, status=200, **more):
        return self.pack("/v1/attach", asked(attempt, **more), status)


def test_a_resume_gets_step_config_and_summary_of_the_lineage(web):
    first = web.attach(A)
    assert (first["number"], first["resumed"], first["step"], first["head"]) == (1, False, 0, None)
    web.append(A, 0, record(Kind.CONFIG, 0, {"set": {"lr": 1}}) + rows(1, range(10)))
    second = web.attach(B, dead=[A])
    assert (second["number"], second["resumed"], second["parent"], second["head"]) == (2, True, A, A)
    assert (second["step"], second["config"], second["summary"]) == (10, {"lr": 1}, {"loss": 10.0})
    web.append(B, 0, row(0, 10))
    assert web.attach(B)["step"] == 11


def test_a_start_over_says_what_it_leaves_behind(web):
    web.attach(A)
    web.append(A, 0, rows(0, range(10)) + record(Kind.STATE, 10, {"state": "ended", "exit_code": 0}))
    answer = web.attach(B, resume="none")
    assert answer["left_behind"] == {"attempt_id": A, "number": 1, "state": "finished", "last_step": 9}
    assert (answer["step"], answer["config"], answer["head"]) == (0, {}, None)


@pytest.mark.parametrize(("resume", "code"), [("must", "missing"), ("never", "exists"), ("allow", "live")])
def test_refusals_of_attach_are_409_with_a_problem(web, resume, code):
    if code != "missing":
        web.attach(A)
    said = web.attach(B, 409, resume=resume)
    assert said["code"] == code
    assert said["cause"].endswith(".")
    assert said["advice"].endswith(".")


def test_records_in_zstd_are_the_same_records(web):
    web.attach(A)
    packed = zstandard.compress(rows(0, range(2000)))
    assert web.append(A, 0, packed, headers={"content-encoding": "zstd"})["next_seq"] == 2000
    assert web.append(A, 0, rows(0, range(2100)))["next_seq"] == 2100
    assert len(web.ask("GET", RUN + "/history").text.splitlines()) == 2100


def test_a_gap_is_409_and_says_what_is_wanted(web):
    web.attach(A)
    web.append(A, 0, rows(0, range(5)))
    assert web.append(A, 9, row(9, 9), 409)["next_seq"] == 5


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (b"\xff" * 100, "", 422),
        (b"\xff" * 100, "zstd", 400),
        (zstandard.compress(b"\0" * (40 << 20)), "zstd", 413),
        (zstandard.compress(b"") + b"behind", "zstd", 400),
        (zstandard.compress(os.urandom(5000))[:-10], "zstd", 400),
        (b"x", "br", 400),
        (b"x" * (MAX_BATCH + (17 << 20)), "", 413),
    ],
    ids=["noise", "no-zstd", "bomb", "behind", "half", "coding", "large"],
)
def test_garbage_for_records_is_refused_with_a_problem(web, body, coding, status):
    web.attach(A)
    said = web.append(A, 0, body, status, headers={"content-encoding": coding})
    assert said["cause"]
    assert said["advice"]
    assert web.append(A, 0, b"")["next_seq"] == 0


def test_a_place_that_is_no_number_is_refused(web):
    web.attach(A)
    for place in ("0", "0?first_seq=x", "0?first_seq=-1", "x?first_seq=0", "99999999?first_seq=0"):
        answer = web.ask("POST", f"/v1/attempts/{A}/records/{place}", content=b"")
        assert answer.status_code == 400, place


def test_garbage_for_machines_is_a_bad_request(web):
    web.attach(A)
    garbage = [
        b"",
        b"\xc1",
        b"\x93\x01\x02\x03",
        b"\x91" * 100_000,
        os.urandom(1000),
        codec.pack({"attempt_id": 5}),
    ]
    for path in ("/v1/attach", "/v1/heartbeat", f"/v1/attempts/{A}/state", f"/v1/attempts/{A}/files"):
        for body in garbage:
            answer = web.ask("POST", path, content=body)
            assert (answer.status_code, codec.unpack(answer.content)["code"]) == (400, "bad-request"), (
                path,
                body,
            )


def test_a_body_that_announces_too_much_is_not_read(web):
    answer = web.ask("POST", "/v1/attach", content=b"x" * (33 << 20))
    assert (answer.status_code, codec.unpack(answer.content)["code"]) == (413, "too-large")


def test_a_blob_is_there_once_its_bytes_match(web):
    data = os.urandom(5_000_001)
    digest = blake3(data).hexdigest()
    assert web.ask("HEAD", f"/v1/blobs/{digest}").status_code == 404
    wrong = web.ask("PUT", f"/v1/blobs/{digest}", content=data[:-1])
    assert (wrong.status_code, codec.unpack(wrong.content)["code"]) == (422, "digest-mismatch")
    assert web.ask("HEAD", f"/v1/blobs/{digest}").status_code == 404
    assert web.ask("PUT", f"/v1/blobs/{digest}", content=data).status_code == 200
    assert web.ask("PUT", f"/v1/blobs/{digest}", content=data).status_code == 200
    assert web.ask("HEAD", f"/v1/blobs/{digest}").headers["content-length"] == "5000001"
    assert web.ask("PUT", "/v1/blobs/..%2fetc", content=b"").status_code in {400, 404}
    assert web.ask("PUT", "/v1/blobs/" + "A" * 64, content=b"").status_code == 400


def store(web, data):
    digest = blake3(data).hexdigest()
    assert web.ask("PUT", f"/v1/blobs/{digest}", content=data).status_code == 200
    return digest


def commit(web, attempt, seq, data, status=200, **more):
    given = {"name": "ck.tar", "digest": store(web, data), "size": len(data), "seq": seq, **more}
    return web.pack(f"/v1/attempts/{attempt}/files", hubapi.FileCommit(**given), status)


def test_the_newest_visible_version_of_a_file_comes_back(web):
    web.attach(A)
    web.append(A, 0, rows(0, range(20)))
    commit(web, A, 5, b"at five", step=5)
    commit(web, A, 15, b"at fifteen", step=15, name="./ck.tar")
    commit(web, A, 15, b"at fifteen", step=15)
    got = web.ask("GET", RUN + "/files/ck.tar")
    assert (got.content, got.headers["x-respool-step"], got.headers["x-respool-attempt"]) == (
        b"at fifteen",
        "15",
        A,
    )
    assert got.headers["x-respool-digest"] == blake3(b"at fifteen").hexdigest()
    web.attach(B, dead=[A])
    web.append(B, 0, row(0, 10))
    assert web.ask("GET", RUN + "/files/ck.tar").content == b"at five"
    assert web.ask("GET", RUN + "/files/ck.tar?attempt=1").content == b"at fifteen"
    assert web.ask("GET", RUN + "/files/ck.tar?attempt=2").status_code == 404
    assert [file["step"] for file in web.json("GET", RUN + "/files")["files"]] == [5]
    assert [file["step"] for file in web.json("GET", RUN + "/files?all=1")["files"]] == [5, 15]
    commit(web, B, 3, b"", step=11)
    head = web.ask("HEAD", RUN + "/files/ck.tar")
    assert (head.status_code, head.headers["content-length"]) == (200, "0")
    assert web.ask("GET", RUN + "/files/ck.tar").content == b""


def test_a_large_file_streams_whole(web):
    web.attach(A)
    data = os.urandom((3 << 20) + 17)
    commit(web, A, 0, data, name="dir with spaces/ü?#.bin")
    assert web.ask("GET", RUN + "/files/dir%20with%20spaces/%C3%BC%3F%23.bin").content == data


def test_a_commit_needs_its_blob_and_its_size(web):
    web.attach(A)
    path = f"/v1/attempts/{A}/files"
    said = web.pack(path, hubapi.FileCommit("x", "0" * 64, 1, 0), 409)
    assert said["code"] == "missing-blob"
    assert commit(web, A, 0, b"abc", 400, size=4)["code"] == "bad-request"


def test_names_and_numbers_of_files_that_cannot_be_are_refused(web):
    web.attach(A)
    bad = ["", "/etc/passwd", "../../x", "a/../../x", "a\0b", "x" * 1025, "ü" * 513, ".", "./"]
    numbers = [{"seq": -1}, {"seq": 1 << 63}, {"step": 1 << 63}, {"writer": -1}]
    for more in [*({"name": one} for one in bad), *numbers]:
        said = commit(web, A, **{"seq": 0, "data": b"abc", "status": 400, **more})
        assert said["code"] == "bad-request", more
    assert web.json("GET", RUN + "/files?all=1")["files"] == []


def test_runs_are_listed_newest_activity_first(web, desk):
    for number in range(3):
        desk.clock.advance(1)
        web.attach(name(number), run_id=f"r{number}")
    desk.clock.advance(1)
    web.append(name(0), 0, row(0, 0))
    assert [run["run_id"] for run in web.json("GET", "/v1/runs")["runs"]] == ["r0", "r2", "r1"]
    assert len(web.json("GET", "/v1/runs?limit=1")["runs"]) == 1
    assert [run["run_id"] for run in web.json("GET", "/v1/runs?project=p&run_id=r1")["runs"]] == ["r1"]
    assert web.json("GET", "/v1/runs?project=q")["runs"] == []


def test_show_answers_every_fixed_field(web):
    web.attach(A, meta={"name": "n", "tags": ["t"]})
    web.append(A, 0, rows(0, range(3)))
    shown = web.json("GET", RUN)
    fixed = "entity project run_id original_id name state attempts last_step rows created_at heartbeat_at ended_at"
    fixed += " pending_records pending_bytes node lost tags url config summary meta head"
    assert set(fixed.split()) <= set(shown)
    one = "attempt_id number state parent cut node pid started_at ended_at exit_code first_step last_step rows lost"
    assert set(f"{one} heartbeat_at pending_records on_lineage".split()) <= set(shown["attempts"][0])
    assert (shown["name"], shown["tags"], shown["last_step"], shown["rows"]) == ("n", ["t"], 2, 3)


def test_a_long_history_streams_whole_and_in_order(web):
    web.attach(A)
    for first in range(0, 30_000, 6000):
        web.append(A, first, rows(first, range(first, first + 6000)))
    text = web.ask("GET", RUN + "/history").text
    assert [json.loads(line)["_step"] for line in text.splitlines()] == list(range(30_000))


def test_a_reader_that_leaves_early_does_no_harm(web):
    web.attach(A)
    for first in range(0, 60_000, 20_000):
        web.append(A, first, rows(first, range(first, first + 20_000)))
    for _ in range(12):
        with web.client.stream("GET", RUN + "/history", headers=web.headers) as answer:
            assert next(answer.iter_lines())
    assert web.json("GET", RUN)["rows"] == 60_000


def test_a_rare_key_is_found_in_a_long_history(web):
    web.attach(A)
    for first in range(0, 40_000, 20_000):
        web.append(A, first, rows(first, range(first, first + 20_000)))
    web.append(A, 40_000, row(40_000, 39_999, rare=1))
    for query in ("keys=rare", "keys=rare&all=1", "keys=rare&min_step=39999&all=1"):
        assert [
            line["rare"]
            for line in map(json.loads, web.ask("GET", f"{RUN}/history?{query}").text.splitlines())
        ] == [1]
    assert web.ask("GET", RUN + "/history?keys=none").text == ""


def test_history_of_one_attempt_and_of_none(web):
    web.attach(A)
    web.append(A, 0, rows(0, range(4)))
    web.attach(B, dead=[A])
    web.append(B, 0, row(0, 2))
    lines = web.ask("GET", RUN + "/history?attempt=1").text.splitlines()
    assert len(lines) == 4
    assert web.ask("GET", RUN + "/history?attempt=9").status_code == 404
    assert len(web.ask("GET", RUN + "/history?all=1&attempt=1").text.splitlines()) == 4
    assert web.ask("GET", "/v1/runs/anna/p/nope/history").status_code == 404


def test_queries_that_cannot_be_are_refused(web):
    web.attach(A)
    many = ",".join(f"k{number}" for number in range(2000))
    for query in ("attempt=x", "min_step=1e9", "max_step=" + "9" * 40, "keys=" + many):
        assert web.json("GET", f"{RUN}/history?{query}", 400)["code"] == "bad-request", query


def test_an_unknown_route_and_an_unknown_method_answer_a_problem(web):
    assert web.json("GET", "/v1/nope", 404)["code"] == "missing"
    assert web.json("DELETE", "/v1/me", 405)["code"] == "method"
    assert web.json("GET", "/", 404)["cause"]


def test_health_needs_no_key_and_everything_else_does(web, desk):
    bare = web.client.get("/v1/health")
    assert codec.unpack(bare.content)["incarnation"] == desk.hub.incarnation
    assert web.client.get("/v1/health", headers={"accept": "application/json"}).json()["version"]
    for method, path in [
        ("GET", "/v1/me"),
        ("GET", "/v1/runs"),
        ("GET", RUN),
        ("PATCH", RUN),
        ("GET", RUN + "/history"),
        ("GET", RUN + "/files/x"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("GET", "/v1/openapi.json"),
        ("POST", "/v1/attach"),
        ("POST", f"/v1/attempts/{A}/records/0?first_seq=0"),
        ("PUT", "/v1/blobs/" + "0" * 64),
        ("HEAD", "/v1/blobs/" + "0" * 64),
    ]:
        assert web.client.request(method, path).status_code == 401, path
        wrong = {"authorization": "Bearer rsp_" + "0" * 40}
        assert web.client.request(method, path, headers=wrong).status_code == 401, path


def test_the_openapi_document_names_the_routes_there_are(web):
    paths = web.json("GET", "/v1/openapi.json")["paths"]
    assert "/v1/runs/{entity}/{project}/{run_id}/history" in paths
    assert set(paths["/v1/keys"]) == {"get", "post"}


def test_a_fault_of_the_hub_is_a_problem_that_tells_nothing_of_its_inside(web, desk, monkeypatch, caplog):
    def broken(_):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(desk.hub.store, "reader", lambda: broken(0))
    answer = web.ask("GET", RUN)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


def test_a_run_of_nobody_is_missing_and_a_dash_is_oneself(web):
    web.attach(A)
    assert web.json("GET", "/v1/runs/-/p/run")["entity"] == "anna"
    assert web.json("GET", "/v1/runs/-/p/none", 404)["code"] == "missing"
    assert web.json("GET", "/v1/runs/nobody/p/run", 404)["code"] == "missing"


@pytest.mark.parametrize("file", ["a\nb", "\n", "a\n", "%41", "a?b#c d", "ü/é漢"])
def test_a_file_is_found_by_whatever_name_it_has(web, file):
    web.attach(A)
    digest = blake3(b"bytes").hexdigest()
    assert web.ask("PUT", f"/v1/blobs/{digest}", content=b"bytes").is_success
    commit = hubapi.FileCommit(
        name=file, digest=digest, size=5, step=0, seq=1, writer=0, time=1.0, metadata={}
    )
    assert web.ask("POST", f"/v1/attempts/{A}/files", content=hubapi.dump(commit)).is_success
    path = f"{RUN}/files/{quote(file)}"
    assert web.ask("GET", path).content == b"bytes"
    assert web.ask("HEAD", path).headers["x-respool-digest"] == digest


def test_name_notes_and_tags_are_edited_at_the_hub_and_stay_at_a_resume(web):
    web.attach(A, meta={"name": "first", "tags": ["a"]})
    shown = web.json("PATCH", RUN, json={"name": "better", "notes": "look at step 3", "tags": ["a", "b"]})
    assert (shown["name"], shown["notes"], shown["tags"]) == ("better", "look at step 3", ["a", "b"])
    again = web.attach(B, dead=[A], meta={"tags": ["passed"]})
    assert (again["meta"]["name"], again["meta"]["notes"]) == ("better", "look at step 3")
    shown = web.json("GET", RUN)
    assert (shown["name"], shown["tags"]) == ("better", ["passed"])
    assert web.json("PATCH", RUN, json={"name": None})["name"] == "run"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"state": "finished"},
        {"tags": "a"},
        {"tags": [1]},
        {"tags": [""]},
        {"notes": 5},
        {"name": "x" * 2000},
        {"tags": ["x" * 257]},
        {"notes": "half of a \ud83d"},
        {"tags": ["\udc00"]},
    ],
)
def test_an_edit_of_anything_else_changes_nothing_and_says_what_may_be_edited(web, body):
    web.attach(A, meta={"name": "first"})
    refused = web.json("PATCH", RUN, 400, content=json.dumps(body))
    assert "tags a list" in refused["advice"]
    assert web.json("GET", RUN)["name"] == "first"


def test_who_does_not_own_a_run_cannot_edit_it(web):
    web.attach(A)
    made = web.root.json("POST", "/v1/keys", 201, json={"user": "bert", "scope": "write", "name": "t"})
    bert = Web(web.client, made["key"])
    bert.json("PATCH", RUN, 404, json={"name": "mine"})
    made = web.root.json("POST", "/v1/keys", 201, json={"user": "anna", "scope": "read", "name": "t"})
    Web(web.client, made["key"]).json("PATCH", RUN, 403, json={"name": "mine"})
    assert web.json("GET", RUN)["name"] == "run"
    assert web.root.json("PATCH", RUN, json={"name": "theirs"})["name"] == "theirs"


def test_alerts_of_several_writers_are_kept_by_time_and_shown_with_the_run(web):
    web.attach(A)
    first, second = (
        {"title": name, "text": "x", "level": "WARN", "time": at} for name, at in (("a", 5.0), ("b", 4.0))
    )
    web.append(A, 0, record(Kind.META, 0, {"alerts": [first]}))
    web.append(A, 1, record(Kind.META, 1, {"alerts": [second, first]}))
    assert web.json("GET", RUN)["alerts"] == [second, first]


def test_what_a_run_printed_streams_by_kind(web):
    web.attach(A)
    printed = [record(Kind.CONSOLE, seq, {"stream": "stdout", "text": str(seq)}) for seq in range(3)]
    web.append(A, 0, b"".join(printed))
    text = web.ask("GET", RUN + "/beside/console").text
    assert [json.loads(line)["text"] for line in text.splitlines()] == ["0", "1", "2"]
    assert [json.loads(web.ask("GET", RUN + "/beside/console?last=1&attempt=1").text)["text"]] == ["2"]
    assert web.ask("GET", RUN + "/beside/console?attempt=7").status_code == 404
    answer = web.ask("GET", RUN + "/beside/secrets")
    assert (answer.status_code, "console, system, packages" in answer.json()["advice"]) == (404, True)


def test_a_run_that_began_offline_is_as_old_as_its_first_attempt(web):
    web.attach(A, offline=True, started_at=5.0)
    assert web.json("GET", RUN)["created_at"] == 5.0
