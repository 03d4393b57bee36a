"""Checkpoints at the hub: chunks, manifests, what a lineage shows, what retention and the sweep let go."""

import os
import random

import pytest
from blake3 import blake3

from respool.wire import codec
from respool_hub.config import HubConfig
from respool_hub.hub import open_hub
from respoold.core import hubapi
from respoold.core.cuts import chunk_sizes
from respoold.core.manifest import manifest_digest
from unit.hub.kit import FakeClock, name, rows, served
from unit.hub.test_http import RUN, Web

A, B, C = name(1), name(2), name(3)


@pytest.fixture
def web(desk, tmp_path):
    with served(desk.hub, tmp_path / "hub.sock") as client:
        root = Web(client, (tmp_path / "data" / "admin-key").read_text().strip())
        anna, bert = (
            Web(client, root.json("POST", "/v1/keys", 201, json={"user": user, "scope": "write"})["key"])
            for user in ("anna", "bert")
        )
        anna.root, anna.bert = root, bert
        yield anna


def part_of(data, named=""):
    sizes = chunk_sizes(lambda offset, size: data[offset : offset + size], len(data))
    digests, at = b"", 0
    for size in sizes:
        digests += blake3(data[at : at + size]).digest()
        at += size
    whole = manifest_digest(digests, sizes)
    return {"name": named, "size": len(data), "digest": whole, "digests": digests, "sizes": sizes}


def upload(web, data):
    """Bring what is missing; how many bytes that was."""
    part, sent, at = part_of(data), 0, 0
    missing = web.pack("/v1/blobs/missing", hubapi.BlobsAsked(part["digests"]))["missing"]
    for index, size in enumerate(part["sizes"]):
        if index in missing:
            digest = part["digests"][32 * index : 32 * index + 32].hex()
            assert web.ask("PUT", f"/v1/blobs/{digest}", content=data[at : at + size]).status_code == 200
            sent += size
        at += size
    return sent


def commit(web, attempt, step, data, status=200, parts=None, **more):
    chosen = [part_of(data)] if parts is None else parts
    given = {"name": "checkpoint", "step": step, "seq": step, "parts": chosen, **more}
    return web.pack(f"/v1/attempts/{attempt}/checkpoints", hubapi.CheckpointCommit(**given), status)


def saved(web, attempt, step, data, **more):
    upload(web, data)
    return commit(web, attempt, step, data, **more)


def listed(web, query=""):
    return web.json("GET", RUN + "/checkpoints" + query)["checkpoints"]


def steps(web, query=""):
    return [one["step"] for one in listed(web, query)]


def content(web, one, part=0, **headers):
    got = web.ask("GET", f"{RUN}/parts/{one['parts'][part]['digest']}", headers=headers)
    return got.status_code, got.content


def noise(seed, size=9_000_001):
    return random.Random(seed).randbytes(size)


def test_a_checkpoint_comes_back_as_it_was_whole_and_by_ranges(web):
    web.attach(A)
    data = noise(1)
    assert saved(web, A, 10, data, metadata={"loss": 0.5}) == {"complete": True, "expired": []}
    one = listed(web)[0]
    assert (one["step"], one["size"], one["metadata"], one["complete"]) == (
        10,
        len(data),
        {"loss": 0.5},
        True,
    )
    assert content(web, one) == (200, data)
    assert content(web, one, range="bytes=4194300-8388700") == (206, data[4194300:8388701])
    assert content(web, one, range="bytes=9000000-") == (206, data[-1:])
    assert content(web, one, range="bytes=9000001-")[0] == 416
    plan = codec.unpack(web.ask("GET", f"{RUN}/parts/{one['parts'][0]['digest']}/chunks").content)
    assert plan == {"digests": part_of(data)["digests"], "sizes": part_of(data)["sizes"]}


def test_chunks_that_are_there_are_not_asked_for_again(web):
    web.attach(A)
    data = noise(1)
    assert upload(web, data) == len(data)
    assert upload(web, data) == 0
    assert upload(web, data[: 4 << 20] + noise(2, 100)) == 100


def test_a_commit_without_all_its_chunks_shows_nothing(web):
    web.attach(A)
    said = commit(web, A, 10, noise(1), status=409)
    assert (said["code"], said["detail"]) == ("missing-blob", {"chunk": 0})
    assert listed(web) == []


@pytest.mark.parametrize(
    "change",
    [
        {"size": 7}, {"digest": "0" * 64}, {"digests": b"short"}, {"sizes": []}, {"sizes": [1 << 40]},
        {"name": 5}, {"digests": None}, {"sizes": ["x"]},
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_add_up_is_refused(web, change):
    web.attach(A)
    data = noise(1)
    upload(web, data)
    commit(web, A, 10, data, status=400, parts=[{**part_of(data), **change}])
    assert listed(web) == []


def test_ranks_make_one_checkpoint_and_it_is_complete_with_the_last(web):
    web.attach(A)
    for rank in (2, 0):
        assert not saved(web, A, 10, noise(rank), writer=rank, rank=rank, world=3)["complete"]
    assert [one["complete"] for one in listed(web)] == [False]
    assert saved(web, A, 10, noise(1), writer=1, rank=1, world=3)["complete"]
    one = listed(web)[0]
    assert [part["rank"] for part in one["parts"]] == [0, 1, 2]
    assert content(web, one, 2) == (200, noise(2))


def test_retention_lets_the_old_go_but_never_the_last_complete_one(web):
    web.attach(A)
    keep = {"last": 2, "every": 40, "mode": "min"}
    scores = {10: 0.9, 20: 0.1, 30: 0.5, 40: 0.6, 50: 0.7, 60: 0.8}
    expired = [
        one["step"]
        for step, score in scores.items()
        for one in saved(web, A, step, noise(step, 1000), keep=keep, score=score)["expired"]
    ]
    assert (steps(web), expired) == ([60, 50, 40, 20], [10, 30])
    web.json("PATCH", RUN + "/checkpoints", json={"name": "checkpoint", "step": 50, "pinned": True})
    for step in (70, 80, 90):
        saved(web, A, step, noise(step, 1000), keep=keep, score=0.9)
    assert steps(web) == [90, 80, 50, 40, 20]
    for step in (20, 40, 50, 80):
        web.json("PATCH", RUN + "/checkpoints", json={"step": step, "dropped": True})
    web.json("PATCH", RUN + "/checkpoints", 409, json={"step": 90, "dropped": True})
    assert steps(web) == [90]


def test_a_cut_hides_the_checkpoints_behind_it_and_the_younger_attempt_wins(web):
    web.attach(A)
    web.append(A, 0, rows(0, range(20)))
    for step in (5, 15):
        saved(web, A, step, noise(step, 100), seq=100 + step)
    web.attach(B, dead=[A])
    web.append(B, 0, rows(0, range(6, 9)))
    assert steps(web) == [5]
    saved(web, B, 15, noise(99, 100), seq=50)
    assert [(one["step"], one["attempt_id"]) for one in listed(web)] == [(15, B), (5, A)]
    assert len(listed(web, "?all=1")) == 3


def test_a_cut_hides_by_what_was_logged_when_it_was_saved(web):
    web.attach(A)
    web.append(A, 0, rows(0, range(20)))
    for step, logged in ((500, 5), (1500, 15)):
        saved(web, A, step, noise(step, 100), seq=step, logged=logged)
    web.attach(B, dead=[A])
    web.append(B, 0, rows(0, [10]))
    assert [(one["step"], one["logged_step"]) for one in listed(web)] == [(500, 5)]


def test_another_users_part_is_not_there_for_those_who_know_its_digest(web):
    web.attach(A)
    data = noise(1)
    saved(web, A, 10, data)
    digest = part_of(data)["digest"]
    web.bert.pack("/v1/attach", hubapi.AttachRequest(C, "p", "run", "run", "allow"))
    assert web.bert.ask("GET", f"/v1/runs/bert/p/run/parts/{digest}").status_code == 404
    assert web.bert.ask("GET", f"{RUN}/parts/{digest}").status_code in {403, 404}
    body = {"step": 10, "pinned": True}
    assert web.bert.ask("PATCH", RUN + "/checkpoints", json=body).status_code in {403, 404}


def test_the_sweep_takes_what_nobody_names_and_nothing_young(web, tmp_path):
    web.attach(A)
    old, new, stray = noise(1), noise(2), noise(3)
    saved(web, A, 10, old, keep={"last": 1, "mode": ""})
    upload(web, stray)
    saved(web, A, 20, new, keep={"last": 1})
    assert web.root.json("POST", "/v1/gc", json={}) == {"blobs": 0, "bytes": 0}
    for found in (tmp_path / "data" / "blobs").glob("??/*"):
        os.utime(found, (1, 1))
    # Asked for again: it stays for another day.
    web.pack("/v1/blobs/missing", hubapi.BlobsAsked(part_of(stray)["digests"][:32]))
    swept = web.root.json("POST", "/v1/gc", json={})
    assert swept["bytes"] == len(old) + len(stray) - part_of(stray)["sizes"][0]
    assert content(web, listed(web)[0]) == (200, new)
    assert upload(web, old) == len(old)
    assert web.ask("POST", "/v1/gc", json={}).status_code == 403


def test_files_come_in_chunks_too_and_read_as_before(web):
    web.attach(A)
    data = noise(4)
    upload(web, data)
    part = part_of(data)
    del part["name"]
    web.pack(f"/v1/attempts/{A}/files", hubapi.FileCommit(name="model.pt", seq=3, **part))
    got = web.ask("GET", RUN + "/files/model.pt")
    assert (got.content, got.headers["x-respool-digest"]) == (data, part["digest"])
    assert web.ask("HEAD", RUN + "/files/model.pt").headers["content-length"] == str(len(data))


def test_a_project_holds_no_more_than_it_may_and_who_asks_first_need_send_nothing(tmp_path):
    hub = open_hub(HubConfig(str(tmp_path / "data"), "127.0.0.1:0", project_quota=25_000), clock=FakeClock())
    with served(hub, tmp_path / "hub.sock") as client:
        root = Web(client, (tmp_path / "data" / "admin-key").read_text().strip())
        key = root.json("POST", "/v1/keys", 201, json={"user": "anna", "scope": "write"})["key"]
        web = Web(client, key)
        web.attach(A)

        def room(step, size, status=200, **more):
            asked = hubapi.RoomAsked("checkpoint", size, step or 99, step=step, **more)
            return web.pack(f"/v1/attempts/{A}/room", asked, status)

        keep = {"last": 2}
        for step in (1, 2):
            saved(web, A, step, noise(step, 10_000), keep=keep)
        said = room(3, 16_000, 409, keep=keep)
        assert said["code"] == "quota"
        assert said["cause"] == (
            "Project anna/p holds 19.5 KiB of the 24.4 KiB that it may; checkpoint 'checkpoint' at step 3 has "
            "15.6 KiB, and 1000 B are missing."
        )
        room(3, 10_000, keep=keep)  # the oldest goes for it
        room(3, 10_000, 409, keep={"last": 3})
        room(None, 6_000, 409)
        assert steps(web) == [2, 1], "a question changes nothing"
        assert saved(web, A, 3, noise(3, 16_000), status=409, keep=keep)["code"] == "quota"
        assert steps(web) == [2, 1]
        saved(web, A, 3, noise(3, 10_000), keep=keep)
        saved(web, A, 3, noise(3, 10_000), keep=keep)
        upload(web, noise(9, 6_000))
        digest = blake3(noise(9, 6_000)).hexdigest()
        file = hubapi.FileCommit("log.txt", digest, 6_000, 50)
        assert web.pack(f"/v1/attempts/{A}/files", file, 409)["code"] == "quota"
        assert web.json("GET", RUN + "/files") == {"files": []}
        assert web.json("GET", RUN)["storage"] == {"held": 20_000, "quota": 25_000}
        web.json("PATCH", RUN + "/checkpoints", json={"step": 2, "dropped": True})
        web.pack(f"/v1/attempts/{A}/files", file)
        assert web.json("GET", RUN)["storage"]["held"] == 16_000
    hub.close()


def test_nonsense_is_refused_with_its_reason(web):
    web.attach(A)
    data = noise(1, 100)
    upload(web, data)
    for change in ({"rank": 3, "world": 2}, {"world": 0}, {"seq": -1}, {"step": 1 << 62}, {"name": "../x"}):
        commit(web, A, **{"step": 10, "data": data, "status": 400, **change})
    commit(web, A, 10, data, status=400, parts=[])
    web.pack("/v1/blobs/missing", hubapi.BlobsAsked(b"x"), 400)
    for body in ({}, {"step": "x", "pinned": True}, {"step": 1, "pinned": 7}, {"step": 1}):
        web.json("PATCH", RUN + "/checkpoints", 400, json=body)
    web.json("PATCH", RUN + "/checkpoints", 404, json={"step": 1, "pinned": True})


def share(web, attempt, step, rank, tag, **more):
    return saved(web, attempt, step, tag, rank=rank, world=2, writer=rank, **more)


def shares_of(web, step):
    (one,) = [one for one in listed(web) if one["step"] == step]
    return one["complete"], [content(web, one, part)[1] for part in range(len(one["parts"]))]


def test_shares_of_two_saves_of_a_step_are_never_mixed(web):
    web.attach(A)
    share(web, A, 4, 0, b"A0", seq=1)
    share(web, A, 4, 1, b"A1", seq=1)
    share(web, A, 4, 0, b"B0", seq=2, repeat=1)
    assert shares_of(web, 4) == (True, [b"A0", b"A1"])
    share(web, A, 4, 1, b"B1", seq=2, repeat=1)
    assert shares_of(web, 4) == (True, [b"B0", b"B1"])


def test_what_the_first_rank_says_of_a_sharded_one_counts_whoever_is_last(web):
    web.attach(A)
    keep = {"last": 1, "mode": "min"}
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 2.5)):
        said = {"score": loss, "metadata": {"loss": loss}, "keep": keep, "pinned": step == 3}
        share(web, A, step, 0, b"%d" % step, seq=step, **said)
        share(web, A, step, 1, b"other %d" % step, seq=100 + step, metadata={"loss": 9.0, "of": 1})
    assert steps(web) == [4, 3, 2], "the last, the pinned and the best"
    assert listed(web)[0]["metadata"] == {"loss": 2.5, "of": 1}
    assert [(one["score"], one["pinned"]) for one in listed(web)] == [(2.5, False), (2.0, True), (1.0, False)]


def test_metadata_come_back_as_they_were_and_as_strict_json_for_people(web):
    web.attach(A)
    said = {"best": float("inf"), "key": b"\x00\xff", "n": 1}
    saved(web, A, 1, b"x", metadata=said)
    packed = web.ask("GET", RUN + "/checkpoints", headers={"Accept": hubapi.MSGPACK})
    assert codec.unpack(packed.content)["checkpoints"][0]["metadata"] == said
    assert listed(web)[0]["metadata"] == {"best": "Infinity", "key": "AP8=", "n": 1}
