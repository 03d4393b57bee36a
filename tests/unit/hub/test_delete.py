"""Deleting a run: what goes, what stays, and who is told."""

import asyncio
import threading

import pytest
from blake3 import blake3

from respool.wire.frames import Kind
from respool_hub.cleaner import Cleaner
from respool_hub.service.delete import delete
from respool_hub.sweeping import sweep
from respoold.core import hubapi
from unit.hub.kit import ANNA, BERT, ROOT, Desk, asked, name, record, row, rows
from unit.hub.test_http import RUN, Web, web

__all__ = ["web"]
A, B = name(1), name(2)


def saved(web, attempt, data, seq=0):
    digest = blake3(data).hexdigest()
    assert web.ask("PUT", f"/v1/blobs/{digest}", content=data).status_code == 200
    web.pack(f"/v1/attempts/{attempt}/files", hubapi.FileCommit("model.pt", digest, len(data), seq))
    return digest


def erased(desk):
    Cleaner(desk.hub.store).run()


def test_a_deleted_run_is_gone_at_once_and_says_what_went(web):
    web.attach(A)
    web.append(A, 0, rows(0, range(5)))
    saved(web, A, b"weights", 5)
    told = web.json("GET", RUN + "/deletion")
    gone = web.json("DELETE", RUN)
    assert (
        told
        == gone
        == {
            "entity": "anna",
            "project": "p",
            "run_id": "run",
            "attempts": 1,
            "rows": 5,
            "files": 1,
            "file_bytes": 7,
            "checkpoints": 0,
        }
    )
    for path in (RUN, RUN + "/history", RUN + "/files/model.pt"):
        assert web.json("GET", path, 404)["code"] == "missing"
    assert web.json("GET", "/v1/runs")["runs"] == web.root.json("GET", "/v1/runs")["runs"] == []
    assert web.json("DELETE", RUN, 404)["code"] == "missing"


def test_who_still_holds_an_attempt_of_it_is_told_and_nothing_is_taken_or_made_again(web):
    mine = Web(web.client, web.attach(A)["token"])
    web.json("DELETE", RUN)
    for who in (web, mine):
        said = who.append(A, 0, row(0, 0), 410)
        assert (said["code"], said["cause"]) == ("deleted", "Run anna/p/run was deleted at the hub by anna.")
        assert "respool spool purge" in said["advice"]
        answer = who.pack("/v1/heartbeat", hubapi.Beat("n1", "d", {A: {"alive": True}}))
        assert answer["commands"][A][0]["command"] == "deleted"
        assert answer["unknown"] == []
    assert web.attach(A, 410, offline=True)["code"] == "deleted"
    assert mine.attach(A, 410, offline=True)["code"] == "deleted"
    assert web.json("GET", "/v1/runs")["runs"] == []


def test_a_stranger_is_not_told_that_there_was_a_run(web):
    made = web.root.json("POST", "/v1/keys", 201, json={"user": "bert", "scope": "write"})
    bert = Web(web.client, made["key"])
    web.attach(A)
    assert bert.json("DELETE", RUN, 404)["code"] == "missing"
    assert bert.json("GET", RUN + "/deletion", 404)["code"] == "missing"
    web.json("DELETE", RUN)
    assert bert.append(A, 0, b"", 404)["code"] == "unknown-attempt"
    assert web.root.append(A, 0, b"", 410)["code"] == "deleted"


def test_an_id_that_was_deleted_begins_anew(web, desk):
    web.attach(A)
    web.append(A, 0, rows(0, range(5)))
    web.json("DELETE", RUN)
    answer = web.attach(B)
    assert (answer["number"], answer["resumed"], answer["step"], answer["run_id"]) == (1, False, 0, "run")
    web.append(B, 0, row(0, 0))
    erased(desk)
    assert web.json("GET", RUN)["rows"] == 1


def test_the_same_launch_begins_anew_under_another_attempt_id(web, desk):
    def attach():
        return web.pack("/v1/attach", asked("", launch="job", incarnation="boot:1:2:0"))

    first = attach()
    assert attach()["attempt_id"] == first["attempt_id"]
    web.json("DELETE", RUN)
    for _ in range(2):
        again = attach()
        assert (again["generation"], again["number"], again["resumed"]) == (1, 1, False)
        assert again["attempt_id"] != first["attempt_id"]
        erased(desk)


@pytest.mark.parametrize(("who", "code"), [(BERT, "missing"), (ANNA._replace(project="q"), "missing")])
def test_only_its_owner_or_an_admin_deletes_a_run(desk, who, code):
    desk.attach(A)
    with pytest.raises(Exception, match="There is no run"):
        desk.write(lambda tx: delete(tx, who, ("anna", "p", "run"), 1.0))
    assert desk.write(lambda tx: delete(tx, ROOT, ("anna", "p", "run"), 1.0))["attempts"] == 1


def test_nothing_of_it_is_left_in_any_table(desk):
    def filled(attempt, run_id):
        desk.attach(attempt, run_id)
        desk.append(attempt, 0, rows(0, range(5)) + record(Kind.CONFIG, 5, {"set": {"a": 1}}))

    def counts():
        def look(reader):
            tables = [row[0] for row in reader._all("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {table: reader._one(f"SELECT count(*) FROM {table}")[0] for table in tables}

        return desk.read(look)

    filled(A, "kept")
    before = counts()
    filled(B, "gone")
    desk.write(lambda tx: delete(tx, ANNA, ("anna", "p", "gone"), 1.0))
    erased(desk)
    assert counts() == {**before, "graves": 1}
    assert len(desk.lines("kept")) == 5


def test_a_hub_that_was_stopped_while_it_erased_goes_on_at_its_next_start(tmp_path):
    desk = Desk(tmp_path / "data")
    desk.attach(A)
    for first in range(0, 100, 2):
        desk.append(A, first, rows(first, [first, first + 1]))
    desk.write(lambda tx: delete(tx, ANNA, ("anna", "p", "run"), 1.0))
    assert desk.write(lambda tx: tx.erase_some(16))
    assert len(desk.read(lambda reader: reader.batches(A))) == 34
    desk.close()
    desk = Desk(tmp_path / "data")
    try:
        desk.hub.streams.submit(lambda: None).result()
        desk.hub.streams.submit(desk.hub.cleaner.run).result()
        assert desk.read(lambda reader: reader.batches(A)) == []
        assert desk.read(lambda reader: reader.attempt(A)) is None
    finally:
        desk.close()


def test_while_a_large_run_is_erased_others_append_between_the_slices(desk):
    desk.attach(A, "large")
    for first in range(200):
        desk.append(A, first, row(first, first))
    desk.attach(B, "other", who=BERT)
    desk.write(lambda tx: delete(tx, ANNA, ("anna", "p", "large"), 1.0))
    erasing = threading.Thread(target=erased, args=(desk,))
    erasing.start()
    left = []
    for seq in range(5):
        desk.append(B, seq, row(seq, seq), who=BERT)
        left.append(len(desk.read(lambda reader: reader.batches(A))))
    erasing.join()
    assert left == sorted(left, reverse=True)
    assert len(desk.read(lambda reader: reader.batches(B))) == 5
    assert desk.read(lambda reader: reader.batches(A)) == []


def test_bytes_that_another_run_names_stay_and_the_rest_is_swept(web, desk):
    web.attach(A)
    shared, own = saved(web, A, b"shared", 0), saved(web, A, b"own", 1)
    web.attach(B, run_id="other")
    saved(web, B, b"shared", 0)
    web.json("DELETE", RUN)
    erased(desk)
    asyncio.run(sweep(desk.hub, grace=-10.0))
    assert web.ask("GET", "/v1/runs/anna/p/other/files/model.pt").content == b"shared"
    assert (desk.hub.blobs.size(shared), desk.hub.blobs.size(own)) == (6, None)


def test_an_upload_whose_bytes_were_swept_is_told_to_send_them_again(web, desk):
    web.attach(A)
    digest = saved(web, A, b"shared", 0)
    web.attach(B, run_id="other")
    assert web.ask("HEAD", f"/v1/blobs/{digest}").status_code == 200
    web.json("DELETE", RUN)
    erased(desk)
    asyncio.run(sweep(desk.hub, grace=-10.0))
    commit = hubapi.FileCommit("model.pt", digest, 6, 0)
    assert web.pack(f"/v1/attempts/{B}/files", commit, 409)["code"] == "missing-blob"
    saved(web, B, b"shared", 0)


def test_the_children_of_what_was_deleted_find_their_place(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(3)))
    desk.write(lambda tx: delete(tx, ANNA, ("anna", "p", "run"), 1.0))
    erased(desk)
    desk.attach(B, offline=True, parent=A)
    desk.append(B, 0, rows(0, range(3, 6)))
    assert len(desk.lines()) == 3
