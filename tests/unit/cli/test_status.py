"""`respool status` and the daemon's socket, against a daemon of thirty lines."""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.folders import Folder
from respool.wire.connection import Connection, Role
from respool.wire.messages import Hello, Refused, Status, Welcome
from respoold.cli.commands import top
from respoold.cli.screen import Screen
from respoold.io import disk
from unit.cli.fake_hub import Answer, FakeHub

Respool = Callable[..., Answer]


def a_status(**more: Any) -> dict[str, Any]:
    run = {
        "entity": "ada", "project": "digits", "run_id": "mlp", "attempt_id": "a", "number": 1, "state": "running",
        "pid": 4242, "alive": True, "last_step": 1233, "rows": 1234, "pending_records": 1240, "pending_bytes": 49_000,
        "pending_files": 1, "pending_file_bytes": 3_000_000, "oldest_pending_seconds": 14.0, "lost": 0,
        "why": "the hub does not answer: connection refused", "advice": "Nothing is lost; start the hub again.",
    }  # fmt: skip
    return {
        "daemon": "0.1.0", "node": "node7", "socket": "/s", "spool": "/var/lib/respool", "hub": "https://hub.example",
        "hub_reachable": True, "hub_error": None, "hub_since": None, "pending_records": 1240, "pending_bytes": 49_000,
        "pending_files": 1, "pending_file_bytes": 3_000_000, "oldest_pending_seconds": 14.0,
        "quota": {"rows_used": 1 << 20, "rows_cap": 2 << 30, "blobs_used": 0, "blobs_cap": 50 << 30, "disk_free": 1},
        "warnings": [], "runs": [run],
    } | more  # fmt: skip


@contextmanager
def a_daemon(status: dict[str, Any], refuse: bool = False) -> Iterator[None]:
    """Serves the socket of RESPOOL_SOCKET until the block ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ["RESPOOL_SOCKET"])
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, status, refuse))
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listener: socket.socket, status: dict[str, Any], refuse: bool) -> None:
    while True:
        try:
            channel, _ = listener.accept()
        except OSError:
            return
        with channel:
            wire = Connection(Role.SERVER)
            while data := channel.recv(1 << 16):
                wire.receive_data(data)
                for received in wire.events():
                    if isinstance(received.message, Hello):
                        answer: Any = Welcome(1, "0.1.0", "node7", status["hub"])
                        answer = Refused("version", "We share no version.", "Update.") if refuse else answer
                    else:
                        answer = Status(status)
                    channel.sendall(wire.send(answer, request=received.request))


def test_status_says_what_waits_for_whom_since_when_why_and_what_to_do(respool: Respool) -> None:
    with a_daemon(a_status()):
        answer = respool("status")
    assert answer.code == 0
    for said in ("1 240 records (47.9 KiB)", "1 file (2.9 MiB)", "the oldest for 14 s", "digits/mlp", "node7",
                 "connection refused", "start the hub again", "reachable"):  # fmt: skip
        assert said in answer.out
    assert max(map(len, answer.out.splitlines())) <= 120


UPLOADS = [
    {"kind": "checkpoint", "name": "checkpoint", "step": 5000, "rank": None, "size": 4 << 30, "sent": 1 << 30,
     "rate": 50 << 20, "seconds_left": 61.4, "state": "sending",
     "deadline_source": "spot", "in_time": False},
    {"kind": "checkpoint", "name": "ema", "step": 4000, "rank": 3, "size": 1 << 20, "sent": 0, "rate": None,
     "seconds_left": None, "state": "writing", "deadline": None, "deadline_source": None, "in_time": None},
]  # fmt: skip


def moving() -> dict[str, Any]:
    found = a_status()
    first = UPLOADS[0] | {"deadline": time.time() + 30.5}
    found["runs"][0] |= {"uploads": [first, UPLOADS[1]], "snapshots": {"reflink": 3, "copy": 1}}
    return found


def test_status_says_of_each_checkpoint_its_bytes_rate_time_left_and_deadline(respool: Respool) -> None:
    with a_daemon(moving()):
        lines = respool("status").out.splitlines()
    first, second = (next(line for line in lines if name in line) for name in ("at step 5 000", "ema at"))
    assert "1.0 GiB of 4.0 GiB  25%  50.0 MiB/s" in first
    assert first.rstrip().endswith("1 min 01 s  spot in 30 s, too late")
    assert "ema at step 4 000, rank 3" in second
    assert second.split()[-3:] == ["writing", "-", "-"]
    assert "  copies   1 by copy, 3 by reflink" in lines


def test_top_shows_page_after_page_and_waits_for_a_daemon_that_is_away(respool: Respool) -> None:
    pages: list[str] = []

    def wait(seconds: float) -> None:
        assert seconds == 0.5
        if len(pages) == 2:
            raise KeyboardInterrupt

    screen = Screen(sys.stdout, sys.stderr, width=100, colour=False)
    with a_daemon(moving()):
        with pytest.raises(KeyboardInterrupt):
            top.watch(screen, pages.append, 0.5, wait)
        assert "spot in" in respool("top").out
    assert all("50.0 MiB/s" in page for page in pages)
    del pages[:]
    with pytest.raises(KeyboardInterrupt):
        top.watch(screen, pages.append, 0.5, wait)
    assert pages == ["No daemon answers on this machine."] * 2
    assert respool("top").code == 3
    assert respool("top", "--interval", "0").code == 2


def test_status_json_is_the_daemons_own_object(respool: Respool) -> None:
    with a_daemon(a_status()):
        assert json.loads(respool("status", "--json").out) == a_status()


@pytest.mark.parametrize(
    ("more", "code"),
    [({}, 0), ({"warnings": ["the disk is full"]}, 1), ({"hub_reachable": False, "hub_error": "refused"}, 1),
     ({"hub": None, "hub_reachable": False}, 0), ({"runs": [{"run_id": "x", "lost": 3}]}, 1)],
)  # fmt: skip
def test_status_is_bad_where_a_person_is_needed(respool: Respool, more: dict[str, Any], code: int) -> None:
    with a_daemon(a_status(**more)):
        assert respool("status").code == code


def register(spool: Path) -> None:
    registry = Path(os.environ["XDG_STATE_HOME"], "respool", "spools")
    registry.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, path in (("a", spool), ("b", "/gone/long/ago"), ("c", spool)):
        (registry / name).write_text(f"{path}\n")


def test_no_daemon_is_exit_code_3_and_shows_what_waits_without_one(respool: Respool, tmp_path: Path) -> None:
    spool = tmp_path / "job" / "respool" / "spool"
    Folder(str(spool), "a" * 32).rows(range(10)).end()
    Folder(str(spool), "b" * 32, "mlp-2").rows(range(5)).file("model.pt", b"12345")
    register(spool)
    answer = respool("status")
    assert answer.code == 3
    assert "there is no such socket" in answer.err
    assert "digits/mlp-1" in answer.out
    assert "19 records" in answer.out
    assert "7 + 1 file" in answer.out
    assert "`respool sync` brings it now" in answer.out
    assert "/gone" not in answer.out + answer.err


def test_without_a_daemon_status_json_is_one_object_of_the_same_shape(
    respool: Respool, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    Folder(str(spool), "a" * 32).rows(range(10)).end(exit_code=1)
    register(spool)
    answer = respool("status", "--json")
    assert answer.code == 3
    status = json.loads(answer.out)
    assert (status["daemon"], status["pending_records"]) == (None, 12)
    assert 0 < status["pending_bytes"] < 2000, "what was written, not the room that was taken"
    (run,) = status["runs"]
    assert (run["state"], run["last_step"], run["spool"]) == ("failed", 9, str(spool))
    assert set(a_status()["runs"][0]) - {"rows", "lost"} <= set(run)


def test_what_the_hub_has_is_not_told_as_waiting(respool: Respool, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    folder = Folder(str(spool), "a" * 32).rows(range(10))
    disk.write_progress(folder.path, {"acked": {"0": folder.seq}})
    register(spool)
    answer = respool("status")
    assert answer.out == ""
    assert "Nothing waits in your spools here." in answer.err


def test_a_daemon_that_refuses_is_exit_code_3_in_its_own_words(respool: Respool) -> None:
    with a_daemon(a_status(), refuse=True):
        answer = respool("status")
    assert answer.code == 3
    assert "We share no version.\n  Update." in answer.err


def test_a_dead_daemons_socket_is_told_from_none(respool: Respool) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.environ["RESPOOL_SOCKET"])
    assert "nobody listens there any more" in respool("status").err


def test_garbage_on_the_socket_is_no_traceback(respool: Respool) -> None:
    def babble(listener: socket.socket) -> None:
        channel, _ = listener.accept()
        with channel:
            channel.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 4)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ["RESPOOL_SOCKET"])
        listener.listen()
        thread = threading.Thread(target=babble, args=(listener,))
        thread.start()
        answer = respool("status")
        thread.join()
    assert answer.code == 3
    assert "Traceback" not in answer.err


def test_the_daemons_hub_is_the_one_that_reading_commands_ask(
    respool: Respool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESPOOL_API_KEY", "rsp_test")
    with a_daemon(a_status(hub="http://127.0.0.1:9")):
        answer = respool("runs")
    assert answer.code == 3
    assert "http://127.0.0.1:9" in answer.err
    assert "the daemon at" in answer.err


def a_node(name: str, heard: float = 4.0, *runs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "node": name, "daemon": "0.1.0", "heartbeat_at": time.time() - heard, "pending_records": 0, "pending_bytes": 0,
        "pending_files": 0, "pending_file_bytes": 0, "oldest_pending_seconds": None, "runs": list(runs),
    } | more  # fmt: skip


def a_backlog(run_id: str, **more: Any) -> dict[str, Any]:
    return {
        "entity": "ada", "project": "digits", "run_id": run_id, "attempt_id": "a", "number": 3, "state": "running",
        "pending_records": 9, "pending_bytes": 900, "pending_files": 0, "pending_file_bytes": 0,
        "oldest_pending_seconds": 10.0, "why": "being sent",
    } | more  # fmt: skip


def test_nodes_say_what_waits_where_for_whom_why_and_what_to_do(hub: FakeHub, respool: Respool) -> None:
    stuck = a_backlog("mlp-2", why="it waits for its user's own key", state="preempting")
    busy = a_node("gpu-7", 4.0, a_backlog("mlp-1"), stuck, pending_records=18)
    hub.pages["/v1/nodes"] = {"nodes": [a_node("login"), busy]}
    answer = respool("status", "--nodes")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[1].split()[0] == "gpu-7", "who holds something comes first"
    for said in ("digits/mlp-1", "preempting", "own key (gpu-7)", "being sent from gpu-7"):
        assert said in answer.out


@pytest.mark.parametrize(("heard", "code"), [(4.0, 0), (100.0, 0), (7200.0, 1)])
def test_a_node_that_is_silent_and_holds_something_is_a_bad_state(
    hub: FakeHub, respool: Respool, heard: float, code: int
) -> None:
    hub.pages["/v1/nodes"] = {"nodes": [a_node("gpu-9", heard, a_backlog("mlp-1"), pending_records=9)]}
    answer = respool("status", "--nodes")
    assert answer.code == code
    assert ("was last heard" in answer.out) == (heard > 45)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_tables_of_nodes_fit_the_screen(
    hub: FakeHub, respool: Respool, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    runs = [a_backlog("transformer-large-3", pending_files=2, pending_file_bytes=3 << 30)]
    hub.pages["/v1/nodes"] = {"nodes": [a_node("gpu-07.cluster.example", 4.0, *runs, pending_records=9)]}
    lines = respool("status", "--nodes").out.splitlines()
    assert max(map(len, lines[:5])) <= columns
    assert "digits/transformer-large-3" in lines[4]


def test_nodes_as_json_are_one_object_a_line(hub: FakeHub, respool: Respool) -> None:
    nodes = [a_node("a"), a_node("b")]
    hub.pages["/v1/nodes"] = {"nodes": nodes}
    assert [json.loads(line) for line in respool("status", "--nodes", "--json").out.splitlines()] == nodes
