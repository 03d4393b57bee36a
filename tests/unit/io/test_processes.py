"""Who is alive, for certain."""

import os
import select
import signal
import subprocess
from typing import Self

import pytest

from respool.wire.identity import Process
from respoold.io import processes


def myself() -> Process:
    started = processes.start_time(os.getpid())
    assert started is not None
    return Process(processes.boot_id(), os.getpid(), started)


class Child:
    """A process that waits for its end."""

    def __enter__(self) -> Self:
        self.running = subprocess.Popen(["sleep", "1000"])
        self.pid = self.running.pid
        started = processes.start_time(self.pid)
        assert started is not None
        self.process = Process(processes.boot_id(), self.pid, started)
        return self

    def __exit__(self, *_: object) -> None:
        self.running.kill()
        self.running.wait()

    def kill(self) -> None:
        """On return it is dead; what is left of it is a zombie until it is waited for."""
        self.running.kill()
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)


def test_this_process_is_alive() -> None:
    assert processes.is_alive(myself())


def test_this_boot_has_a_name_that_does_not_change() -> None:
    assert len(processes.boot_id()) == 36
    assert processes.boot_id() == processes.boot_id()


@pytest.mark.parametrize(
    "change",
    [
        {"boot_id": "another"},
        {"boot_id": ""},
        {"start_time": 1},
        {"start_time": 0},
        {"pid": 0},
        {"pid": -1},
        {"pid": 1 << 40},
    ],
)
def test_a_process_with_another_pid_start_or_boot_is_another_process(change: dict[str, int]) -> None:
    other = myself()._replace(**change)
    assert not processes.is_alive(other)
    assert processes.open_pidfd(other) is None


def test_a_child_is_alive_until_it_is_killed_and_not_as_a_zombie() -> None:
    with Child() as child:
        assert processes.is_alive(child.process)
        child.kill()
        assert processes.start_time(child.pid) is None
        assert not processes.is_alive(child.process)
        fd = processes.open_pidfd(child.process)
        assert fd is not None, "how it ended may still be learned"
        assert processes.has_ended(fd)
        os.close(fd)
        assert processes.open_pidfd(child.process._replace(start_time=1)) is None
        child.running.wait()
        assert not processes.is_alive(child.process)
        assert processes.open_pidfd(child.process) is None


def test_a_pidfd_becomes_readable_when_its_process_ends() -> None:
    with Child() as child:
        fd = processes.open_pidfd(child.process)
        assert fd is not None
        assert not processes.has_ended(fd)
        child.kill()
        assert select.select([fd], [], [], 5)[0] == [fd]
        assert processes.has_ended(fd)
        os.close(fd)


def test_a_process_that_proc_hides_is_alive_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with Child() as child:
        monkeypatch.setattr(processes, "start_time", lambda _, **__: None)
        assert processes.is_alive(child.process)
        fd = processes.open_pidfd(child.process)
        assert fd is not None
        os.close(fd)
        assert not processes.is_alive(child.process._replace(boot_id="another"))
        child.kill()
        assert not processes.is_alive(child.process)
        assert processes.open_pidfd(child.process) is None


def test_a_stopped_process_is_alive() -> None:
    with Child() as child:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        assert processes.is_alive(child.process)


def test_a_name_with_brackets_and_blanks_does_not_confuse() -> None:
    name = "/proc/self/comm"
    with open(name, encoding="ascii") as file:
        before = file.read()
    started = processes.start_time(os.getpid())
    try:
        with open(name, "w", encoding="ascii") as file:
            file.write(") S 1 (x) Z")
        assert processes.start_time(os.getpid()) == started
    finally:
        with open(name, "w", encoding="ascii") as file:
            file.write(before.strip())


def test_no_descriptor_is_left_open_for_a_process_that_is_gone() -> None:
    before = set(os.listdir("/proc/self/fd"))
    processes.open_pidfd(myself()._replace(start_time=1))
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15),
    reason="this kernel tells nobody but its parent how a process ended",
)
def test_what_a_process_exited_with_is_told_when_its_parent_knows_it() -> None:
    for script, code in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", None)):
        running = subprocess.Popen(["sh", "-c", f"read line; {script}"], stdin=subprocess.PIPE)
        pidfd = os.pidfd_open(running.pid)
        try:
            with pytest.raises(processes.NotYetError):
                processes.exit_code_of(pidfd)
            running.communicate(b"\n")
            assert processes.exit_code_of(pidfd) == code
        finally:
            os.close(pidfd)
