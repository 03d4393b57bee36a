"""Chunks over HTTP in threads, against a real hub; and their files on this side."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import pytest
from blake3 import blake3

from respoold.core import hubapi
from respoold.core.checkpoints import Part
from respoold.core.errors import HubAway, HubDenied, HubRefused
from respoold.core.manifest import check
from respoold.io import chunks
from respoold.io.blobs import BlobGoneError
from respoold.io.bulk import Bulk, Pace
from respoold.tasks import ferry
from unit.hub.kit import Desk, name, served
from unit.hub.test_http import RUN, Web

MIB = 1 << 20


def noise(seed, size):
    return random.Random(seed).randbytes(size)


@pytest.fixture
def site(tmp_path):
    """A hub with a key for anna: (client, url, key)."""
    desk = Desk(tmp_path / "data")
    path = tmp_path / "hub.sock"
    with served(desk.hub, path) as client:
        root = Web(client, (tmp_path / "data" / "admin-key").read_text().strip())
        key = root.json("POST", "/v1/keys", 201, json={"user": "anna", "scope": "write"})["key"]
        yield Web(client, key), f"unix:{path}", key
    desk.close()


@pytest.fixture
def spool(tmp_path):
    folder = tmp_path / "attempt"
    (folder / "blobs").mkdir(parents=True)
    return str(folder)


def blob(spool, token, data):
    with open(os.path.join(spool, "blobs", token), "wb") as file:
        file.write(data)


def test_a_file_goes_up_in_chunks_and_comes_down_by_ranges(site, spool):
    web, url, key = site
    data = noise(1, 9 * MIB + 5)
    blob(spool, "t", data)
    plan = chunks.settle(spool, "t", len(data))
    bulk, shown = Bulk(url), {"Authorization": f"Bearer {key}"}
    fd = os.open(os.path.join(spool, "blobs", "t"), os.O_RDONLY)
    at = 0
    for index, size in enumerate(plan.sizes):
        bulk.put(shown, plan.digests[32 * index : 32 * index + 32].hex(), fd, at, size)
        at += size
    os.close(fd)
    web.attach(name(1))
    part = {"name": "", "size": len(data), **plan._asdict()}
    web.pack(f"/v1/attempts/{name(1)}/checkpoints", hubapi.CheckpointCommit("c", 1, 0, [part]))
    got = bytearray()
    path = f"{RUN.removeprefix('/v1')}/parts/{plan.digest}"
    bulk.get(shown, path, 100, 5 * MIB, got.extend)
    assert got == data[100 : 5 * MIB]
    with pytest.raises(HubRefused, match="no part"):
        bulk.get(shown, path.replace(plan.digest, "0" * 64), 0, 1, got.extend)
    bulk.close()


def test_a_hub_without_room_for_a_blob_is_not_away_and_makes_some(site, spool, tmp_path, monkeypatch):
    _, url, key = site
    bulk = Bulk(url)
    stray = noise(2, 100)
    digest, shown = blake3(stray).hexdigest(), {"Authorization": f"Bearer {key}"}
    blob(spool, "t", stray)
    with open(os.path.join(spool, "blobs", "t"), "rb") as file:
        bulk.put(shown, digest, file.fileno(), 0, 100)
        (left,) = (tmp_path / "data" / "blobs").glob(f"??/{digest}")
        os.utime(left, (1, 1))
        with monkeypatch.context() as full:
            full.setattr("respool_hub.store.blobs.FREE_FLOOR", 1 << 62)
            with pytest.raises(HubRefused, match="do not fit on the disk") as caught:
                bulk.put(shown, blake3(stray[:50]).hexdigest(), file.fileno(), 0, 50)
        assert (caught.value.status, caught.value.problem.code) == (hubapi.FULL, "full")
        assert not left.exists(), "nothing named it"
        bulk.put(shown, blake3(stray[:50]).hexdigest(), file.fileno(), 0, 50)
    bulk.close()


def test_a_wrong_key_an_absent_hub_and_a_wrong_digest_are_told_apart(site, spool, tmp_path):
    _, url, key = site
    blob(spool, "t", b"bytes")
    fd = os.open(os.path.join(spool, "blobs", "t"), os.O_RDONLY)
    digest, shown = blake3(b"bytes").hexdigest(), {"Authorization": f"Bearer {key}"}
    with pytest.raises(HubDenied):
        Bulk(url).put({"Authorization": "Bearer rsp_wrong"}, digest, fd, 0, 5)
    with pytest.raises(HubRefused, match="are not blob"):
        Bulk(url).put(shown, digest, fd, 0, 4)
    with pytest.raises(HubAway):
        Bulk(f"unix:{tmp_path}/nobody").put(shown, digest, fd, 0, 5)
    with pytest.raises(EOFError):
        Bulk(url).put(shown, digest, fd, 0, 6)
    os.close(fd)


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(spool):
    listener = socket.create_server(("127.0.0.1", 0))
    served_requests = []

    def serve():
        for _ in range(3):
            link, _ = listener.accept()
            data = b""
            while b"\r\n\r\nbytes" not in data:
                data += link.recv(1000)
            served_requests.append(data)
            link.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            link.close()

    thread = threading.Thread(target=serve)
    thread.start()
    blob(spool, "t", b"bytes")
    fd = os.open(os.path.join(spool, "blobs", "t"), os.O_RDONLY)
    bulk = Bulk(f"http://127.0.0.1:{listener.getsockname()[1]}")
    for _ in range(3):
        bulk.put({}, "d", fd, 0, 5)
    thread.join()
    os.close(fd)
    bulk.close()
    listener.close()
    assert len(served_requests) == 3


def answering(*bodies):
    """The address of a server that answers one request after another on one kept connection: (bytes announced, bytes
    sent, whether it is reset then); it accepts another one for what comes after a reset.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        link = None
        for announced, body, reset in bodies:
            if link is None:
                link, _ = listener.accept()
            data = b""
            while b"\r\n\r\n" not in data:
                data += link.recv(1000)
            link.sendall(b"HTTP/1.1 206 Partial Content\r\ncontent-length: %d\r\n\r\n" % announced + body)
            if reset:
                link.recv(1)  # until the reader has taken what came
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                link.close()
                link = None
        if link is not None:
            link.close()
        listener.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", thread


def test_a_body_that_breaks_off_on_a_kept_connection_is_not_taken_twice(monkeypatch):
    monkeypatch.setattr("respoold.io.bulk.PIECE", 4)
    url, thread = answering((4, b"abcd", False), (8, b"abcd", True), (8, b"abcdefgh", False))
    bulk, got = Bulk(url), bytearray()
    bulk.get({}, "/x", 0, 4, got.extend)
    (kept,) = bulk._idle
    assert got == b"abcd"

    def take(data):
        got.extend(data)
        kept.sock.send(b"!")  # now it may be reset

    with pytest.raises(HubAway, match="broke off"):
        bulk.get({}, "/x", 0, 8, take)
    assert got == b"abcdabcd"
    bulk.get({}, "/x", 0, 8, got.extend)
    assert got == b"abcdabcdabcdefgh"
    thread.join(10)
    bulk.close()


def test_no_more_is_taken_than_was_asked_for():
    url, thread = answering((8, b"abcdefgh", False))
    bulk, got = Bulk(url), bytearray()
    with pytest.raises(HubAway, match="more bytes came than 4"):
        bulk.get({}, "/x", 0, 4, got.extend)
    assert got == b""
    thread.join(10)
    bulk.close()


def test_a_bandwidth_limit_is_kept_over_all_threads():
    now = [0.0]
    pace = Pace(100, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    for _ in range(10):
        pace.spend(50)
    assert now[0] == pytest.approx(4.5)
    pace.lifted = True
    pace.spend(10_000)
    assert now[0] == pytest.approx(4.5)


def test_a_settled_snapshot_is_not_hashed_again_and_a_changed_one_is(spool):
    data = noise(2, 5 * MIB)
    blob(spool, "t", data)
    assert chunks.read_note(spool, "t", len(data)) is None
    made = chunks.settle(spool, "t", len(data))
    check(made.digest, len(data), made.digests, made.sizes, 1 << 30)
    assert chunks.read_note(spool, "t", len(data)) == made
    assert chunks.read_note(spool, "t", len(data) + 1) is None
    with open(os.path.join(spool, "blobs", "t.chunks"), "r+b") as note:
        note.truncate(20)
    assert chunks.read_note(spool, "t", len(data)) is None
    assert chunks.settle(spool, "t", len(data)) == made
    chunks.delete(spool, "t")
    assert os.listdir(os.path.join(spool, "blobs")) == []


def test_a_snapshot_that_changed_after_it_was_settled_is_not_intact(spool):
    data = noise(2, 5 * MIB)
    blob(spool, "t", data)
    fd = os.open(os.path.join(spool, "blobs", "t"), os.O_RDWR)
    assert chunks.intact(spool, "t", fd, len(data)), "nothing was noted yet"
    chunks.settle(spool, "t", len(data))
    assert chunks.intact(spool, "t", fd, len(data))
    os.pwrite(fd, bytes([data[MIB] ^ 1]), MIB)
    assert not chunks.intact(spool, "t", fd, len(data))
    os.ftruncate(fd, MIB)
    assert not chunks.intact(spool, "t", fd, len(data))
    os.close(fd)


def test_a_snapshot_of_another_size_or_none_is_gone(spool):
    with pytest.raises(BlobGoneError):
        chunks.settle(spool, "t", 1)
    blob(spool, "t", b"12")
    with pytest.raises(BlobGoneError, match="has 2 bytes, 3 were recorded"):
        chunks.settle(spool, "t", 3)
    assert chunks.settle(spool, "t", 2).sizes == [2]


def test_two_who_settle_the_same_snapshot_at_once_get_the_same_and_hash_it_once(spool, monkeypatch):
    data = noise(3, 9 * MIB)
    blob(spool, "t", data)
    hashed = []
    plain = chunks.hash_file
    monkeypatch.setattr(chunks, "hash_file", lambda *args: hashed.append(1) or plain(*args))
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: chunks.settle(spool, "t", len(data)), range(4)))
    assert len(set(map(str, made))) == 1
    assert hashed == [1]
    assert sorted(os.listdir(os.path.join(spool, "blobs"))) == ["t", "t.chunks"]


async def test_a_snapshot_that_the_disk_takes_no_note_of_is_brought_all_the_same(spool, monkeypatch):
    blob(spool, "t", b"data")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chunks, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        chunks.settle(spool, "t", 4)
    assert (await ferry.settle(spool, Part("", "t", 4))).size == 4


def test_an_empty_file_has_no_chunks(spool):
    blob(spool, "t", b"")
    assert chunks.settle(spool, "t", 0).sizes == []


def cut_off(url, key, digest, data, count):
    """A PUT whose connection breaks behind so many bytes of its body."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(url.removeprefix("unix:"))
        head = f"PUT /v1/blobs/{digest} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {key}\r\n"
        link.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[:count])


def test_an_upload_that_broke_off_goes_on_where_it_was(site, spool, tmp_path):
    web, url, key = site
    data, sent = noise(7, 3 * MIB), []
    digest, begun = blake3(data).hexdigest(), tmp_path / "data" / "blobs" / "begun"
    blob(spool, "t", data)
    cut_off(url, key, digest, data, 2 * MIB + 5)
    deadline = monotonic() + 20
    while not (begun / digest).exists():
        assert monotonic() < deadline
        sleep(0.01)
    answer = web.pack("/v1/blobs/missing", hubapi.BlobsAsked(bytes.fromhex(digest)))
    assert answer == {"missing": [0], "begun": [2 * MIB + 5]}
    bulk, fd = Bulk(url), os.open(os.path.join(spool, "blobs", "t"), os.O_RDONLY)
    bulk.put({"Authorization": f"Bearer {key}"}, digest, fd, 0, len(data), sent.append, answer["begun"][0])
    assert sum(sent) == MIB - 5
    assert (tmp_path / "data" / "blobs" / digest[:2] / digest).read_bytes() == data
    os.close(fd)
    bulk.close()


@pytest.mark.parametrize("how", ["gone", "shorter", "spoilt"])
def test_a_beginning_that_is_no_use_costs_its_bytes_and_nothing_else(site, spool, tmp_path, how):
    _, url, key = site
    data, begun = noise(8, MIB), tmp_path / "data" / "blobs" / "begun"
    digest = blake3(data).hexdigest()
    blob(spool, "t", data)
    if how != "gone":
        (begun / digest).write_bytes(data[:100] if how == "shorter" else b"x" * (MIB // 2))
    bulk, fd = Bulk(url), os.open(os.path.join(spool, "blobs", "t"), os.O_RDONLY)
    bulk.put({"Authorization": f"Bearer {key}"}, digest, fd, 0, len(data), None, MIB // 2)
    assert (tmp_path / "data" / "blobs" / digest[:2] / digest).read_bytes() == data
    assert list(begun.iterdir()) == []
    os.close(fd)
    bulk.close()


def test_an_exchange_that_outlives_its_pool_leaves_no_connection_open():
    url, thread = answering((4, b"abcd", False))
    bulk, links = Bulk(url), []
    real = bulk._connection
    bulk._connection = lambda: links.append(real()) or links[-1]
    bulk.get({}, "/x", 0, 4, lambda _: bulk.close())
    assert [link.sock for link, _ in links] == [None]
    assert bulk._idle == []
    thread.join(10)
