"""Bodies read past the event loop, from clients that do what clients do: dribble, pipeline, lie and vanish."""

import json
import os
import random
import socket
from time import monotonic, sleep

import pytest
from blake3 import blake3

from respool_hub.api.socket_body import SMALLEST, BodyProtocol, SocketBody
from unit.hub.kit import served

MIB = 1 << 20


def noise(seed, size):
    return random.Random(seed).randbytes(size)


class Client:
    """A connection that sends bytes as the test says."""

    def __init__(self, path, key):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.key = key
        self.held = b""

    def head(self, digest, size, *more):
        lines = [
            f"PUT /v1/blobs/{digest} HTTP/1.1",
            "Host: hub",
            "Accept: application/json",
            f"Content-Length: {size}",
            *more,
        ]
        return "\r\n".join([*lines, f"Authorization: Bearer {self.key}", "", ""]).encode()

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        """(status, body) of the next answer."""
        while b"\r\n\r\n" not in self.held:
            self._more()
        head, _, self.held = self.held.partition(b"\r\n\r\n")
        size = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        while len(self.held) < size:
            self._more()
        body, self.held = self.held[:size], self.held[size:]
        return int(head.split()[1]), body

    def put(self, data):
        self.send(self.head(digest(data), len(data)) + data)
        return self.answer()[0]

    def _more(self):
        got = self.socket.recv(1 << 16)
        assert got, "the hub closed the connection"
        self.held += got


def digest(data):
    return blake3(data).hexdigest()


@pytest.fixture
def counted(monkeypatch):
    """The bytes that went each way."""
    count = {"loop": 0, "thread": 0}
    read, on_body = SocketBody.read, BodyProtocol.on_body

    def by_thread(self, buffer):
        got = read(self, buffer)
        count["thread"] += got
        return got

    def by_loop(self, body):
        count["loop"] += len(body)
        on_body(self, body)

    monkeypatch.setattr(SocketBody, "read", by_thread)
    monkeypatch.setattr(BodyProtocol, "on_body", by_loop)
    return count


@pytest.fixture
def client(desk, tmp_path, counted):
    path = tmp_path / "hub.sock"
    with served(desk.hub, path):
        made = Client(path, (tmp_path / "data" / "admin-key").read_text().strip())
        yield made
        made.socket.close()


def stored(desk, data):
    blob = desk.hub.blobs.open(digest(data))
    try:
        return blob is not None and blob.read(len(data) + 1) == data
    finally:
        if blob is not None:
            blob.close()


@pytest.mark.parametrize("size", [1, SMALLEST - 1, SMALLEST, 4 * MIB, 9 * MIB + 7])
def test_what_is_sent_is_stored_and_the_connection_serves_the_next_request(client, desk, size):
    for seed in range(3):
        assert client.put(noise(seed, size)) == 200
        assert stored(desk, noise(seed, size))


def test_most_of_a_large_body_never_goes_through_the_event_loop(client, desk, counted):
    for seed in range(8):
        assert client.put(noise(seed, 4 * MIB)) == 200
    assert counted["thread"] + counted["loop"] == 32 * MIB
    assert counted["thread"] > 24 * MIB, counted


def test_one_that_dribbles_is_waited_for_by_the_loop_and_not_by_a_thread(client, desk, counted):
    data, chance = noise(1, 3 * MIB), random.Random(2)
    client.send(client.head(digest(data), len(data)))
    at = 0
    while at < len(data):
        size = chance.choice([1, 700, 70_000, 300_000])
        client.send(data[at : at + size])
        at += size
        if chance.random() < 0.3:
            sleep(0.01)
    assert client.answer()[0] == 200
    assert stored(desk, data)
    assert counted["loop"] + counted["thread"] == len(data)


def test_clients_that_say_nothing_more_hold_no_thread_from_the_others(client, desk, tmp_path):
    idle = [Client(tmp_path / "hub.sock", client.key) for _ in range(20)]
    for number, one in enumerate(idle):
        one.send(one.head(digest(noise(number, 4 * MIB)), 4 * MIB) + noise(number, 4 * MIB)[: 2 * MIB])
    began = monotonic()
    assert client.put(noise(99, 4 * MIB)) == 200
    assert monotonic() - began < 10
    for number, one in enumerate(idle):
        one.send(noise(number, 4 * MIB)[2 * MIB :])
        assert one.answer()[0] == 200
        one.socket.close()
    assert all(stored(desk, noise(number, 4 * MIB)) for number in range(20))


def test_requests_that_lie_behind_one_another_are_all_answered_in_order(client, desk):
    bodies = [noise(seed, size) for seed, size in enumerate([MIB, 300_000, 5, 2 * MIB])]
    lines = (
        "GET /v1/health HTTP/1.1",
        "Host: hub",
        "Accept: application/json",
        f"Authorization: Bearer {client.key}",
    )
    ask = "\r\n".join([*lines, "", ""]).encode()
    client.send(b"".join(client.head(digest(data), len(data)) + data + ask for data in bodies))
    for data in bodies:
        assert client.answer()[0] == 200
        status, answer = client.answer()
        assert (status, json.loads(answer)["incarnation"]) == (200, desk.hub.incarnation)
        assert stored(desk, data)


def test_bytes_that_are_not_what_they_should_be_are_refused_and_the_connection_goes_on(client, desk):
    data = noise(1, MIB)
    client.send(client.head(digest(data), len(data)) + noise(2, MIB))
    status, body = client.answer()
    assert (status, json.loads(body)["code"]) == (422, "digest-mismatch")
    assert client.put(data) == 200


def test_of_a_client_that_vanishes_in_the_middle_the_bytes_that_came_are_kept(client, desk, tmp_path):
    data = noise(3, 4 * MIB)
    client.send(client.head(digest(data), len(data)) + data[: 3 * MIB])
    until(lambda: size_of_tmp(desk) == 3 * MIB)
    client.socket.close()
    until(lambda: desk.hub.blobs.begun([digest(data)]) == [3 * MIB])
    again = Client(tmp_path / "hub.sock", client.key)
    again.send(again.head(digest(data), MIB, f"X-Respool-Offset: {3 * MIB}") + data[3 * MIB :])
    assert again.answer()[0] == 200
    assert stored(desk, data)
    again.socket.close()


def test_a_body_without_a_length_comes_through_the_loop(client, desk, counted):
    data = noise(4, MIB)
    head = client.head(digest(data), 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    client.send(head + b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n")
    assert client.answer()[0] == 200
    assert stored(desk, data)
    assert counted["thread"] == 0


def test_who_waits_to_be_told_to_go_on_is_told(client, desk):
    data = noise(5, MIB)
    client.send(client.head(digest(data), len(data), "Expect: 100-continue"))
    assert client.socket.recv(1000).startswith(b"HTTP/1.1 100")
    client.send(data)
    assert client.answer()[0] == 200
    assert stored(desk, data)


def test_one_who_may_not_write_is_refused_before_a_byte_is_kept(client, desk):
    client.key = "rsk_nobody"
    data = noise(6, 4 * MIB)
    client.send(client.head(digest(data), len(data)) + data)
    assert client.answer()[0] == 401
    assert not stored(desk, data)


def size_of_tmp(desk):
    folder = os.path.join(desk.hub.blobs._folder, "tmp")
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))


def until(true, seconds=20):
    limit = monotonic() + seconds
    while not true():
        assert monotonic() < limit
        sleep(0.01)
