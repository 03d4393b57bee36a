"""Real processes: how they end, what survives them, what a fork may do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from fakes.daemon import frames_in
from respool.process import Process, alive, this_process
from respool.wire import codec
from respool.wire.frames import Kind

PREPARE = """
import os, signal, sys
import respool
run = respool.init(project="p", id="r", mode="spool", resume="allow")
"""


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PREPARE + code],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def frames(spool):
    (name,) = os.listdir(spool)
    return frames_in(os.path.join(spool, name))


def end(spool):
    last = frames(spool)[-1]
    value = codec.unpack(last.payload)
    return value.get("exit_code") if last.kind == Kind.STATE else "no end"


@pytest.mark.parametrize(
    ("code", "status", "recorded"),
    [
        ("pass", 0, 0),
        ("sys.exit(7)", 7, 7),
        ("exit(5)", 5, 5),
        ("quit()", 0, 0),
        ("sys.exit('text')", 1, 1),
        ("sys.exit()", 0, 0),
        ("1 / 0", 1, 1),
        ("raise KeyboardInterrupt", -signal.SIGINT, 130),
        ("sys.excepthook = lambda *_: None\n1 / 0", 1, 1),
        ("sys.excepthook = lambda *_: None\nraise KeyboardInterrupt", -signal.SIGINT, 130),
        ("try: sys.exit(3)\nexcept SystemExit: run.log({'a': 2})", 0, 0),
        ("try: sys.exit(3)\nfinally: run.summary['a'] = 2", 3, 3),
        ("run.finish(3)", 0, 3),
        ("exec('with run: raise SystemExit(9)')", 9, 9),
        ("os._exit(4)", 4, "no end"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, "no end"),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15, "no end"),
    ],
)
def test_the_exit_is_recorded_where_there_is_one(spool, code, status, recorded):
    assert python("run.log({'a': 1})\n" + code).returncode == status
    assert end(spool) == recorded


def test_no_signal_handler_is_installed():
    shown = "print(signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT).__name__)"
    # A shell's background jobs begin with SIGINT ignored, and so would what they start.
    done = python(shown, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert done.stdout.split() == ["0", "default_int_handler"]


def test_a_handler_of_the_scripts_own_can_finish(spool):
    code = """
def handler(*_):
    run.mark_preempting()
    run.finish(143)
    os._exit(143)
signal.signal(signal.SIGTERM, handler)
os.kill(os.getpid(), signal.SIGTERM)
while True:
    run.log({'a': 1})
"""
    assert python(code).returncode == 143
    values = [codec.unpack(frame.payload) for frame in frames(spool)]
    assert values[-2:] == [{"state": "preempting"}, {"state": "ended", "exit_code": 143, "reason": "finish"}]


def test_the_previous_hooks_are_called_and_put_back():
    code = """
old = sys.exit, sys.excepthook
run.finish()
assert sys.exit is not old[0] and sys.excepthook is sys.__excepthook__
"""
    done = python(code)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_every_row_whose_log_returned_survives_a_sigkill(spool):
    code = """
count = 0
while True:
    run.log({'n': count})
    os.write(1, b'%d\\n' % count)
    count += 1
"""
    child = subprocess.Popen(
        [sys.executable, "-c", PREPARE + code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with child:
        while (said := int(child.stdout.readline())) < 500:
            pass
        child.kill()
        said = [said, *(int(line) for line in child.stdout.read().splitlines() if line)][-1]
    found = [codec.unpack(frame.payload)["n"] for frame in frames(spool) if frame.kind == Kind.ROW]
    assert found[: said + 1] == list(range(said + 1))
    assert len(found) <= said + 2


def test_a_forked_child_warns_once_writes_nothing_and_ends_nothing(spool):
    code = """
run.log({'n': 0})
pid = os.fork()
if pid == 0:
    run.log({'n': 'child'}); run.log({'n': 'child'}); respool.log({'n': 'child'})
    run.config.x = 1; run.summary['x'] = 1; run.mark_preempting()
    assert run.save('/etc/hostname') is False and run.flush() is False and not run.rewind(1)
    run.finish(5)
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
run.log({'n': 1})
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("log() in a forked child is dropped") == 1
    kinds = [frame.kind for frame in frames(spool)]
    assert kinds == [Kind.SNAPSHOT, Kind.ROW, Kind.ROW, Kind.STATE]
    assert end(spool) == 0


def test_a_fork_while_another_thread_logs_leaves_parent_and_child_sound(spool):
    code = """
import threading
stop = threading.Event()
def work():
    n = 0
    while not stop.is_set():
        run.log({'n': n}); n += 1
thread = threading.Thread(target=work); thread.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        run.log({'n': 'child'})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
stop.set(); thread.join()
"""
    assert python(code).returncode == 0
    found = frames(spool)
    rows = [codec.unpack(frame.payload)["n"] for frame in found if frame.kind == Kind.ROW]
    assert rows == list(range(len(rows)))


def test_a_childs_descriptors_are_closed():
    code = """
def ours():
    links = []
    for fd in os.listdir('/proc/self/fd'):
        try:
            links.append(os.readlink('/proc/self/fd/' + fd))
        except FileNotFoundError:
            pass
    return [link for link in links if 'respool' in link]
assert len(ours()) == 1, ours()
pid = os.fork()
if pid == 0:
    os._exit(len(ours()))
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
run.finish()
assert ours() == []
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_a_child_of_multiprocessing_may_open_a_run_of_its_own(spool):
    code = """
import respool
pid = os.fork()
if pid == 0:
    own = respool.init(project="p", id="own", mode="spool")
    own.log({'child': 1})
    own.finish()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert len(os.listdir(spool)) == 2


def test_this_process_is_alive_and_others_are_not():
    me = this_process()
    assert alive(me)
    assert not alive(me._replace(start_time=me.start_time + 1))
    assert not alive(me._replace(boot_id="another boot"))
    assert not alive(Process(me.boot_id, 0, 0))
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    zombie = Process(me.boot_id, pid, me.start_time)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not alive(zombie)
    os.waitpid(pid, 0)
