"""What `respool run` makes of a job's end, and whom it signals. The daemon is a fake, the jobs are real."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any

import pytest

from respool.wire.messages import Foretold, Left
from respoold.cli.job import expects
from respoold.cli.runner import End, Runner, Wishes, slurm_job

TERM = int(signal.SIGTERM)
PREEMPTS = frozenset({TERM, int(signal.SIGUSR1)})


class Daemon:
    """Knob: `states`, what it makes of the runs. Record: `heard`."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.heard: list[Foretold | Left] = []

    def judged(self, said: Foretold | Left) -> dict[str, str]:
        self.heard.append(said)
        return self.states


class Quiet:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def _mask() -> Any:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    yield
    for _ in range(100):
        if (
            signal.sigtimedwait(set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGINT}, 0)
            is None
        ):
            break
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def runner(
    daemon: Daemon, wishes: Wishes | None = None, environ: dict[str, str] | None = None, **more: Any
) -> Runner:
    given = {"PATH": os.environ["PATH"], **(environ or {})}
    return Runner(wishes or Wishes(PREEMPTS), daemon, given, Quiet(), more.get("requeue", lambda _: False))  # type: ignore[arg-type]


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


@pytest.mark.parametrize(
    ("code", "end", "told"),
    [
        ("pass", 0, 0),
        ("raise SystemExit(3)", 3, 3),
        ("import os; os._exit(4)", 4, 4),
        ("import os; os.kill(os.getpid(), 9)", -9, None),
        ("1 / 0", 1, 1),
    ],
)
def test_the_true_exit_code_is_told(code: str, end: int, told: int | None) -> None:
    daemon = Daemon()
    made = runner(daemon)
    ended = made.run(python(code))
    assert ended.code == end
    assert [one.exit_code for one in daemon.heard if isinstance(one, Left)] == [told]
    assert made.leave(ended) == (end if end >= 0 else 128 - end)


def signalled(number: int, code: str, daemon: Daemon, wishes: Wishes | None = None) -> End:
    """The end of a job during which we got a signal, once it had made a file."""
    with tempfile.TemporaryDirectory() as folder:
        ready = os.path.join(folder, "ready")
        main = threading.main_thread().ident
        assert main is not None

        def send() -> None:
            deadline = time.monotonic() + 20
            while not os.path.exists(ready) and time.monotonic() < deadline:
                time.sleep(0.005)
            signal.pthread_kill(main, number)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            return runner(daemon, wishes, {"READY": ready}).run(python(PREPARE + code))
        finally:
            thread.join()


PREPARE = "import os, signal, sys, time\ndef ready(): open(os.environ['READY'], 'w').close()\n"
CATCHES = "signal.signal({0}, lambda *_: sys.exit({1})); ready(); time.sleep(30)"


def test_a_preemption_is_told_before_the_job_hears_of_it_and_is_never_completed() -> None:
    daemon = Daemon()
    ended = signalled(TERM, CATCHES.format("signal.SIGTERM", 0), daemon)
    assert [type(one) for one in daemon.heard] == [Foretold, Left]
    assert daemon.heard[0].source == "signal SIGTERM"
    assert (ended.code, ended.preempted, runner(daemon).leave(ended)) == (0, True, 128 + TERM)


def test_a_run_that_finished_in_time_is_finished() -> None:
    daemon = Daemon(run="finished")
    ended = signalled(TERM, CATCHES.format("signal.SIGTERM", 0), daemon)
    assert runner(daemon, Wishes(PREEMPTS, requeue_exit=99)).leave(ended) == 0


def test_a_warning_is_forwarded_only_to_who_expects_it() -> None:
    daemon = Daemon()
    usr1 = int(signal.SIGUSR1)
    assert signalled(usr1, CATCHES.format("signal.SIGUSR1", 7), daemon).code == 7
    assert signalled(usr1, "ready(); time.sleep(0.3); sys.exit(8)", daemon).code == 8


def test_the_grace_ends_who_does_not_leave() -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); time.sleep(30)"
    began = time.monotonic()
    assert signalled(TERM, code, Daemon(), Wishes(PREEMPTS, grace=0.3)).code == -9
    assert time.monotonic() - began < 10


def test_a_shell_that_dies_leaves_its_child_time_to_save(tmp_path: Any) -> None:
    saved = tmp_path / "saved"
    child = "import os, signal, time\n"
    child += f"def save(*_): time.sleep(0.3); open({str(saved)!r}, 'w'); os._exit(0)\n"
    child += "signal.signal(signal.SIGTERM, save); open(os.environ['READY'], 'w'); time.sleep(30)"
    code = f"import subprocess; subprocess.run([sys.executable, '-S', '-c', {child!r}])"
    signalled(TERM, code, Daemon())
    assert saved.exists()


SLURM = {"SLURM_JOB_ID": "34"}
GOING = End(0, TERM, {})


def test_the_requeue_exit_code_is_what_the_scheduler_gets() -> None:
    assert runner(Daemon(), Wishes(PREEMPTS, requeue_exit=99), SLURM).leave(GOING) == 99
    assert runner(Daemon(), Wishes(PREEMPTS, requeue_exit=99)).leave(End(3, 0, {})) == 3
    assert runner(Daemon(), Wishes(PREEMPTS, requeue_exit=99)).leave(End(0, 0, {"r": "preempted"})) == 99


def test_slurm_is_asked_to_requeue_and_then_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("respoold.cli.runner.LINGER_SECONDS", 0.05)
    asked: list[str] = []
    environ = SLURM | {"SLURM_ARRAY_JOB_ID": "33", "SLURM_ARRAY_TASK_ID": "2"}
    made = runner(
        Daemon(), Wishes(PREEMPTS, requeue=True), environ, requeue=lambda job: not asked.append(job)
    )
    assert (made.leave(GOING), asked) == (143, ["33_2"])


def test_without_a_wish_slurm_ends_the_job_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("respoold.cli.runner.LINGER_SECONDS", 0.2)
    began = time.monotonic()
    assert runner(Daemon(), None, SLURM).leave(GOING) == 143
    assert time.monotonic() - began >= 0.2
    assert slurm_job({}) == ""


def test_who_handles_a_signal_is_seen() -> None:
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    assert expects(os.getpid(), signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, before)
    assert not expects(os.getpid(), signal.SIGUSR2)
    assert not expects(2**22 + 1, signal.SIGUSR2)
