"""The Unix socket and systemd's: real sockets in a real folder."""

import array
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from respool.wire.limits import MAX_FDS
from respoold.io import notify
from respoold.io import socket as doors


@pytest.fixture(autouse=True)
def _no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def a_pair() -> Iterator[tuple[trio.socket.SocketType, trio.socket.SocketType]]:
    ours, theirs = trio.socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def open_count() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_who_connects_is_known_by_the_kernels_word(tmp_path: Path) -> None:
    with doors.listen(str(tmp_path / "run" / "s")) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "run" / "s"))
        connection, _ = await listener.accept()
        with connection:
            assert doors.peer_of(connection) == (os.getpid(), os.getuid(), os.getgid())
    assert os.stat(tmp_path / "run").st_mode & 0o777 == 0o700


async def test_a_socket_that_nobody_serves_any_more_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    doors.listen(path).close()
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    with doors.listen(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


async def test_a_socket_that_is_served_is_not_taken_over(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with doors.listen(path):
        before = open_count()
        with pytest.raises(
            doors.SocketBusyError, match=f"a daemon answers at {path} already; stop it, or choose"
        ):
            doors.listen(path)
        assert open_count() == before
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_what_is_no_socket_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("mine")
    else:
        path.mkdir()
    with pytest.raises(doors.SocketBusyError, match="exists and is no socket; choose another --socket"):
        doors.listen(str(path))
    assert path.exists()


async def test_a_path_where_no_socket_can_be_is_refused_with_a_way_out(tmp_path: Path) -> None:
    before = open_count()
    with pytest.raises(doors.SocketUnusableError, match=r"cannot be made: .*; choose another --socket"):
        doors.listen(str(tmp_path / ("x" * 200)))
    assert open_count() == before


async def test_bytes_and_descriptors_arrive_together_and_are_ours() -> None:
    with a_pair() as (ours, theirs):
        reading, writing = os.pipe()
        await doors.send(ours, b"take these", [reading, writing])
        data, fds = await doors.receive(theirs)
        assert data == b"take these"
        assert len(fds) == 2
        assert not any(os.get_inheritable(fd) for fd in fds)
        os.write(fds[1], b"x")
        assert os.read(reading, 1) == b"x"
        for fd in (reading, writing, *fds):
            os.close(fd)


async def test_a_message_larger_than_the_sockets_buffer_arrives_whole() -> None:
    data = os.urandom(3_000_000)
    found = bytearray()
    with a_pair() as (ours, theirs):
        fd = os.open("/dev/null", os.O_RDONLY)
        arrived: list[int] = []

        async def read() -> None:
            while len(found) < len(data):
                piece, fds = await doors.receive(theirs)
                found.extend(piece)
                arrived.extend(fds)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await doors.send(ours, data, [fd])
        assert bytes(found) == data
        assert len(arrived) == 1
        for one in (fd, *arrived):
            os.close(one)


async def test_the_end_of_a_peer_is_no_bytes_and_no_descriptors() -> None:
    with a_pair() as (ours, theirs):
        theirs.close()
        assert await doors.receive(ours) == (b"", [])


async def test_a_peer_that_is_gone_is_an_error_for_who_sends() -> None:
    with a_pair() as (ours, theirs):
        theirs.close()
        with pytest.raises(ConnectionError):
            await doors.send(ours, b"x", [])


async def test_descriptors_that_were_never_read_are_closed_with_the_connection() -> None:
    reading, writing = os.pipe()
    with a_pair() as (ours, _):
        await doors.send(ours, b"take it", [writing])
        os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


async def test_a_peer_that_sends_too_many_descriptors_leaves_none_open() -> None:
    before = open_count()
    with a_pair() as (ours, theirs):
        fd = os.open("/dev/null", os.O_RDONLY)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * 100))]
        await ours.sendmsg([b"flood"], rights)
        os.close(fd)
        data, fds = await doors.receive(theirs)
        assert data == b"flood"
        assert len(fds) <= 2 * MAX_FDS
        for one in fds:
            os.close(one)
    assert open_count() == before


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_over_its_datagram_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    address = f"\0respool-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        notify.notify("READY=1\nSTATUS=serving")
        assert receiver.recv(1000) == b"READY=1\nSTATUS=serving"


def test_without_systemd_nothing_is_told_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify.notify("READY=1")
    for address in (str(tmp_path / "nobody"), str(tmp_path / ("x" * 200)), ""):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify.notify("READY=1")


@pytest.mark.parametrize(
    ("microseconds", "mine", "seconds"),
    [
        ("20000000", True, 10.0),
        ("20000000", False, None),
        ("20000000", None, 10.0),
        ("", None, None),
        ("soon", None, None),
    ],
)
def test_a_sign_of_life_is_due_at_half_of_what_systemd_waits(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, mine: bool | None, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    if mine is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() if mine else 1))
    assert notify.watchdog_seconds() == seconds


async def test_systemds_listener_is_taken_as_it_is_and_tells_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doors.inherited_path() is None
    path = str(tmp_path / "held")
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(path)
        held.listen(1)
        monkeypatch.setattr(doors, "inherited_listener", lambda: os.dup(held.fileno()))
        assert doors.inherited_path() == path
        with doors.listen("/nowhere") as listener, socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            connection, _ = await listener.accept()
            connection.close()


def test_a_listener_is_inherited_only_when_it_is_meant_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    assert notify.inherited_listener() is None
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert notify.inherited_listener() is None
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert notify.inherited_listener() == 3
    monkeypatch.setenv("LISTEN_FDS", "0")
    assert notify.inherited_listener() is None
