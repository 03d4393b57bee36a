"""run.preempting, seconds_left and on_preempt: notices of the daemon, and signals where the script asks for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import respool
from fakes.daemon import frames_in
from respool.spool_history import attempts_of
from respool.wire import codec
from respool.wire.frames import Kind
from respool.wire.messages import Notice, Ring

SOON = "this machine goes"
CAUGHT = {"state": "preempting", "source": "signal SIGTERM"}


def until(holds, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def frames(spool):
    (name,) = os.listdir(spool)
    return frames_in(os.path.join(spool, name))


def noticed(daemon, run, code="preempting", **data):
    """Tell, and look as a loop would until it arrives."""
    daemon.tell(Notice(code, SOON, data))
    until(lambda: run.preempting is (code == "preempting"))


def test_a_notice_is_seen_by_a_loop_that_only_looks(daemon):
    run = respool.init(project="p", id="r")
    assert (run.preempting, run.seconds_left) == (False, None)
    noticed(daemon, run, source="ec2", deadline=time.time() + 100)
    assert 90 < run.seconds_left <= 100


def test_an_unknown_deadline_is_none_and_a_past_one_is_zero(daemon):
    run = respool.init(project="p", id="r")
    noticed(daemon, run, source="ec2", deadline=0)
    assert run.seconds_left is None
    daemon.tell(Notice("preempting", SOON, {"source": "gcp", "deadline": time.time() - 1}))
    until(lambda: run.seconds_left == 0.0)


def test_a_withdrawn_notice_is_no_more_unless_the_script_marked_itself(daemon):
    run = respool.init(project="p", id="r")
    noticed(daemon, run, source="ec2")
    noticed(daemon, run, "withdrawn", source="ec2")
    assert run.seconds_left is None
    run.mark_preempting()
    heard = []
    foresee, run._foresee = run._foresee, lambda notice: heard.append(foresee(notice))
    daemon.tell(Notice("withdrawn", SOON, {"source": "ec2"}))
    until(lambda: run.preempting and heard)


def test_a_callback_runs_once_in_the_call_that_reads_the_notice_and_may_log(daemon):
    run = respool.init(project="p", id="r")
    calls = []

    @run.on_preempt
    def leave():
        calls.append(run.preempting)
        run.log({"saved": 1})

    assert respool.on_preempt(leave) is leave
    daemon.tell(Notice("preempting", SOON, {"source": "ec2"}))
    until(lambda: run.log({"a": 1}) or calls)
    for _ in range(3):
        time.sleep(0.02)
        run.log({"a": 2})
    assert calls == [True, True]


def test_what_a_callback_raises_leaves_the_loop(daemon):
    run = respool.init(project="p", id="r")

    def leave():
        raise KeyboardInterrupt

    run.on_preempt(leave)
    daemon.tell(Notice("preempting", SOON))
    with pytest.raises(KeyboardInterrupt):
        until(lambda: run.log({"a": 1}))


@pytest.mark.parametrize("look", [lambda run: run.preempting, lambda run: run.save(__file__)])
@pytest.mark.parametrize("kind", [AttributeError, ValueError])
def test_what_a_callback_raises_is_no_complaint_about_the_call_that_ran_it(daemon, capsys, look, kind):
    run = respool.init(project="p", id="r")

    @run.on_preempt
    def leave():
        raise kind("of the script")

    daemon.tell(Notice("preempting", SOON))
    with pytest.raises(kind, match="of the script"):
        until(lambda: look(run) is None)
    assert run.preempting is True
    assert run.log({"a": 1}) is None
    assert "no effect" not in (said := capsys.readouterr().err)
    assert "cannot use" not in said


def test_a_callback_that_is_asked_for_late_runs_all_the_same(daemon):
    run = respool.init(project="p", id="r")
    noticed(daemon, run)
    calls = []
    run.on_preempt(lambda: calls.append(1))
    until(lambda: run.log({"a": 1}) or calls)


def test_what_cannot_be_called_is_one_warning(daemon, capsys):
    run = respool.init(project="p", id="r")
    assert run.on_preempt(3) is None
    assert "on_preempt() cannot use what it was given" in capsys.readouterr().err


def test_on_preempt_before_init_is_one_warning(capsys):
    assert respool.on_preempt(print) is None
    assert "on_preempt() before init() is dropped" in capsys.readouterr().err


PREPARE = """
import os, signal, sys, time, respool
run = respool.init(project='p', id='r', mode='spool', settings={})
def say(text): os.write(1, text.encode() + b' ')
"""
HANGS = """
os.kill(os.getpid(), signal.SIGTERM)
while True:
    time.sleep(0.01); run.log({'a': 1})
"""


def python(code, settings="{}"):
    code = PREPARE.replace("settings={}", f"settings={settings}") + code
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )


def states(spool):
    return [codec.unpack(one.payload) for one in frames(spool) if one.kind == Kind.STATE]


def test_handle_sigterm_marks_and_dies_of_the_signal_as_it_would_have(spool):
    done = python(HANGS, "{'handle_sigterm': True}")
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert states(spool) == [CAUGHT]


def test_the_callback_runs_before_the_signal_is_raised_again(spool):
    code = "run.on_preempt(lambda: run.log({'saved': 1}) or say('saved'), signals=[signal.SIGTERM])"
    done = python(code + HANGS)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "saved ")
    assert states(spool) == [CAUGHT]


def test_the_signal_waits_until_a_callback_has_saved_all_that_it_saves(spool):
    code = """
def save():
    for name in 'ab':
        with run.checkpoint(1, name=name) as file:
            file.write(b'state')
        run.log({'saved': 1}); run.flush(); run.preempting
    say('saved')
run.on_preempt(save, signals=[signal.SIGTERM])
"""
    done = python(code + HANGS)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "saved "), done.stderr


@pytest.mark.parametrize(
    ("says", "finished"), [("", False), ("run.mark_preempting()", True), ("run.finish()", True)]
)
def test_who_exits_with_0_after_a_caught_signal_has_finished_only_if_it_says_so(spool, says, finished):
    code = f"run.on_preempt(lambda: ({says or 0}, sys.exit(0)), signals=[signal.SIGTERM])"
    done = python(code + HANGS)
    assert done.returncode == 0, done.stderr
    (found,) = attempts_of([str(spool)], "p", "r", None)
    assert found.done == finished


def test_a_handler_of_the_scripts_own_hears_the_signal_after_the_callback():
    code = "signal.signal(signal.SIGUSR1, lambda *_: say('script') or os._exit(7))\n"
    code += "run.on_preempt(lambda: say('ours'), signals=[signal.SIGUSR1])"
    done = python(code + HANGS.replace("SIGTERM", "SIGUSR1"))
    assert (done.returncode, done.stdout) == (7, "ours script ")


def test_a_second_signal_ends_a_script_that_calls_us_no_more(spool):
    code = "run.on_preempt(lambda: None, signals=[signal.SIGTERM])\n"
    code += "os.kill(os.getpid(), signal.SIGTERM); say('alive'); time.sleep(2.2)\n"
    code += "os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)"
    done = python(code)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "alive ")
    assert states(spool) == [CAUGHT]


def test_the_copies_of_a_signal_that_others_forward_end_nobody_before_the_callback(spool):
    code = """
def save():
    os.kill(os.getpid(), signal.SIGTERM)
    say('saved')
run.on_preempt(save, signals=[signal.SIGTERM])
for _ in range(3):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.05)
"""
    done = python(code + HANGS)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "saved "), done.stderr
    assert states(spool) == [CAUGHT]


def test_the_handler_goes_with_the_run():
    done = python("run.finish(); say(str(int(signal.getsignal(signal.SIGTERM))))", "{'handle_sigterm': True}")
    assert done.stdout == "0 ", done.stderr


def test_a_forked_child_dies_of_the_signal_and_marks_nothing(spool):
    code = """
pid = os.fork()
if pid == 0:
    time.sleep(30)
time.sleep(0.2)
os.kill(pid, signal.SIGTERM)
say(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
run.finish()
"""
    done = python(code, "{'handle_sigterm': True}")
    assert done.stdout == "-15 ", done.stderr
    assert [one["state"] for one in states(spool)] == ["ended"]


def test_a_signal_amid_rows_loses_and_doubles_none(spool):
    code = """
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
signal.setitimer(signal.ITIMER_REAL, 0.05)
n = 0
while True:
    run.log({'n': n}); n += 1
"""
    assert python(code, "{'handle_sigterm': True}").returncode == -signal.SIGTERM
    found = frames(spool)
    assert [one.seq for one in found] == list(range(len(found)))
    values = [codec.unpack(one.payload)["n"] for one in found if one.kind == Kind.ROW]
    assert values == list(range(len(values)))
    assert states(spool) == [CAUGHT]


def test_a_signal_rings_the_daemon_at_once(daemon):
    run = respool.init(project="p", id="r")
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    run.on_preempt(signals=[signal.SIGUSR2])
    signal.raise_signal(signal.SIGUSR2)
    until(lambda: Ring(urgent=True) in daemon.of(Ring))
    assert run.preempting
    assert signal.signal(signal.SIGUSR2, before) is signal.SIG_IGN


@pytest.mark.parametrize(("reason", "left"), [("exit", True), ("finish", False)])
def test_who_leaves_with_0_under_a_notice_is_found_again_by_the_next_one_unless_it_finished(
    daemon, capsys, tmp_path, monkeypatch, reason, left
):
    monkeypatch.chdir(tmp_path)
    run = respool.init(project="p", resume=True)
    noticed(daemon, run, source="command")
    run._end(0, reason)
    assert os.path.exists("respool/respool-resume.json") == left
    assert ("was preempted" if left else "finished") in capsys.readouterr().err


def test_a_notice_that_came_since_the_last_call_counts_at_the_end(daemon, capsys):
    run = respool.init(project="p", id="r")
    run.log({"a": 1})
    daemon.tell(Notice("preempting", SOON, {"source": "file"}))
    time.sleep(0.2)
    run._end(0, "exit")
    assert "was preempted" in capsys.readouterr().err
