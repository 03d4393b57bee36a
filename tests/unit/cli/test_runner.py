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
from respoold.cli.runner import End, Runner, Wishes
from respoold.cli.scontrol import Scontrol

TERM = int(signal.SIGTERM)
PREEMPTS = frozenset({TERM, int(signal.SIGUSR1)})


class Daemon:
    """Knob: `states`, what it makes of the runs. Records: `heard`, and how often it was `hurried`."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.heard: list[Foretold | Left] = []
        self.hurried = 0

    def hurry(self) -> None:
        self.hurried += 1

    def judged(self, said: Foretold | Left) -> dict[str, str]:
        self.heard.append(said)
        return self.states


class Scheduler:
    """Knobs: `at`, when the job that is preempted ends. Record: `requeued`."""

    def __init__(self, job: str = "", at: float | None = None) -> None:
        self.job = job
        self.at = at
        self.requeued = 0

    def preempted(self) -> float | None:
        return self.at

    def requeue(self) -> bool:
        self.requeued += 1
        return bool(self.job)


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
    daemon: Daemon,
    wishes: Wishes | None = None,
    environ: dict[str, str] | None = None,
    scheduler: Scheduler | None = None,
) -> Runner:
    given = {"PATH": os.environ["PATH"], **(environ or {})}
    return Runner(wishes or Wishes(PREEMPTS), daemon, given, Quiet(), scheduler or Scheduler())  # type: ignore[arg-type]


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


def signalled(
    number: int, code: str, daemon: Daemon, wishes: Wishes | None = None, *, late: bool = False
) -> End:
    """The end of a job during which we got a signal, once it had made a file; `late`: once it was reaped. Never sent to
    the whole process: another thread of it, that does not block it, would end it.
    """
    with tempfile.TemporaryDirectory() as folder:
        ready = os.path.join(folder, "ready")
        main = threading.main_thread().ident
        assert main is not None

        def send() -> None:
            deadline = time.monotonic() + 20
            while not os.path.islink(ready) and time.monotonic() < deadline:
                time.sleep(0.005)
            while late and os.path.exists(f"/proc/{os.readlink(ready)}") and time.monotonic() < deadline:
                time.sleep(0.005)
            signal.pthread_kill(main, number)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            return runner(daemon, wishes, {"READY": ready}).run(python(PREPARE + code))
        finally:
            thread.join()


PREPARE = "import os, signal, sys, time\ndef ready(): os.symlink(str(os.getpid()), os.environ['READY'])\n"
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
    child += "signal.signal(signal.SIGTERM, save); os.symlink('1', os.environ['READY']); time.sleep(30)"
    code = f"import subprocess; subprocess.run([sys.executable, '-S', '-c', {child!r}])"
    signalled(TERM, code, Daemon())
    assert saved.exists()


@pytest.mark.parametrize(
    "job",
    [
        "timeout 60 $CHILD",
        "setsid $CHILD & wait",
        "set -m; $CHILD & wait",
        "set -m; (set -m; $CHILD & wait) & wait",
    ],
)
def test_who_has_left_the_group_is_signalled_and_waited_for_too(tmp_path: Any, job: str) -> None:
    saved, child = tmp_path / "saved", tmp_path / "child.py"
    child.write_text(
        "import os, signal, time\n"
        f"def save(*_): time.sleep(0.5); open({str(saved)!r}, 'w'); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, save); os.symlink('1', os.environ['READY']); time.sleep(30)\n"
    )
    words = job.replace("$CHILD", f"{sys.executable} -S {child}")
    code = f"import subprocess; subprocess.run(['bash', '-c', {words!r}])"
    signalled(TERM, code, Daemon())
    assert saved.exists()


GOING = End(0, TERM, {})


def test_the_requeue_exit_code_is_what_the_scheduler_gets() -> None:
    made = runner(Daemon(), Wishes(PREEMPTS, requeue_exit=99), scheduler=Scheduler("34"))
    assert made.leave(GOING) == 99
    assert made.leave(End(3, 0, {})) == 3
    assert made.leave(End(0, 0, {"r": "preempted"})) == 99


def test_slurm_is_asked_to_requeue_and_then_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("respoold.cli.runner.LINGER_SECONDS", 0.05)
    slurm = Scheduler("33_2")
    made = runner(Daemon(), Wishes(PREEMPTS, requeue=True), scheduler=slurm)
    assert (made.leave(GOING), slurm.requeued) == (143, 1)


def test_without_a_wish_slurm_ends_the_job_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("respoold.cli.runner.LINGER_SECONDS", 0.2)
    began = time.monotonic()
    assert runner(Daemon(), scheduler=Scheduler("34")).leave(GOING) == 143
    assert time.monotonic() - began >= 0.2


def test_ctrl_c_ends_the_wait_for_slurm_and_a_scheduler_s_signal_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coming = [TERM, int(signal.SIGCONT), int(signal.SIGINT)]
    monkeypatch.setattr("respoold.cli.runner.fetch", lambda _: coming.pop(0))
    daemon = Daemon()
    assert runner(daemon, scheduler=Scheduler("34")).leave(GOING) == 143
    assert (coming, daemon.hurried) == ([], 1)


@pytest.mark.parametrize("code", [0, 143])
def test_a_job_that_only_the_scheduler_knows_to_be_preempted_is_not_completed(code: int) -> None:
    daemon = Daemon()
    made = runner(daemon, scheduler=Scheduler("34", at=1e9))
    ended = made.run(python(f"raise SystemExit({code})"))
    assert [(type(one), getattr(one, "source", "")) for one in daemon.heard] == [
        (Foretold, "slurm-preemption"),
        (Left, ""),
    ]
    assert (ended.preempted, ended.status) == (True, 143)


def test_a_signal_that_comes_after_the_job_s_end_is_heard_too() -> None:
    daemon = Daemon()
    assert signalled(TERM, "ready(); os.kill(os.getpid(), signal.SIGKILL)", daemon, late=True).preempted
    assert [type(one) for one in daemon.heard] == [Foretold, Left]


def scontrol(folder: Any, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """A scontrol that notes what it is asked."""
    path = folder / "scontrol"
    path.write_text(f"#!/bin/sh\necho $* >> {folder}/asked\necho '{says}'\n")
    path.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("times", "at"),
    [
        ("PreemptTime=None StartTime=100 EndTime=200", None),
        ("PreemptTime=150 StartTime=100 EndTime=200", 200.0),
        ("PreemptTime=90 StartTime=100 EndTime=200", None),
    ],
)
def test_a_job_is_preempted_by_its_preempt_time_in_this_life(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, times: str, at: float | None
) -> None:
    scontrol(tmp_path, monkeypatch, f"JobId=34 JobState=RUNNING {times}")
    assert Scontrol({"SLURM_JOB_ID": "34"}).preempted() == at
    assert (tmp_path / "asked").read_text() == "-o show job 34\n"


def test_the_tasks_of_a_step_do_not_ask_all_at_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol(tmp_path, monkeypatch, "JobId=34 JobState=RUNNING PreemptTime=150 StartTime=100")
    step = {
        "SLURM_JOB_ID": "35",
        "SLURM_ARRAY_JOB_ID": "33",
        "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_STEP_ID": "0",
    }
    assert Scontrol(step | {"SLURM_PROCID": "0"}).preempted() is None
    assert not Scontrol(step | {"SLURM_PROCID": "1"}).requeue()
    assert Scontrol(step | {"SLURM_PROCID": "0"}).requeue()
    assert (tmp_path / "asked").read_text() == "requeue 33_2\n"
    assert Scontrol({}).preempted() is None
    assert not Scontrol({}).requeue()


def test_who_handles_a_signal_is_seen() -> None:
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    assert expects(os.getpid(), signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, before)
    assert not expects(os.getpid(), signal.SIGUSR2)
    assert not expects(2**22 + 1, signal.SIGUSR2)
