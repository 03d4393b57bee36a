"""What a run keeps beside its rows: what the script prints, and what it was started with."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import threading
import time

import pytest

import respool
from fakes.daemon import frames_in
from respool import console, notices, surroundings
from respool.console import Budget, Console
from respool.redaction import HIDDEN, Redactor, arguments, redacted
from respool.wire import codec
from respool.wire.frames import Kind


@pytest.fixture
def heard(capsys):
    """Makes a console of its own that keeps into a list; in the test, whose streams are not those of its setup."""
    made = []

    def listen():
        kept = []
        made.append(Console(kept.append, lambda: False))
        return made[0], kept

    yield listen
    made[0].close()


def texts(kept):
    return [record["text"] for record in kept if record["text"]]


def lines_of(spool):
    found = [frame for name in sorted(os.listdir(spool)) for frame in frames_in(os.path.join(spool, name))]
    return [codec.unpack(frame.payload) for frame in found if frame.kind == Kind.CONSOLE]


def metas_of(spool):
    (name,) = os.listdir(spool)
    metas = (codec.unpack(f.payload) for f in frames_in(os.path.join(spool, name)) if f.kind == Kind.META)
    return [meta for meta in metas if "about" in meta or "packages" in meta]


def test_what_is_printed_goes_out_and_is_kept_line_by_line(spool, capsys):
    run = respool.init(project="p", id="r", mode="spool")
    print("epoch", 1)
    print("no newline", end="")
    sys.stderr.write("careful\n")
    run.log({"loss": 1.0})
    print(" yet")
    print("last words", end="")
    run.finish()
    print("after the end")
    out, err = capsys.readouterr()
    assert out == "epoch 1\nno newline yet\nlast wordsafter the end\n"
    assert "careful" in err
    assert lines_of(spool) == [
        {"stream": "stdout", "text": "epoch 1"},
        {"stream": "stderr", "text": "careful"},
        {"stream": "stdout", "text": "no newline yet"},
        {"stream": "stdout", "text": "last words"},
    ]


def test_a_progress_bar_is_its_last_state(heard, capsys):
    _, kept = heard()
    for percent in range(0, 101, 10):
        print(f"\r{percent}%|####", end="")
    print("\nwindows\r\n\x1b[31mred\x1b[0m")
    assert texts(kept) == ["100%|####", "windows", "red"]


def test_what_is_too_much_is_skipped_by_count(heard, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console, "monotonic", lambda: now[0])
    made, kept = heard()
    made._budget = Budget(0.0)
    for number in range(1500):
        print(number)
    assert texts(kept) == [str(number) for number in range(1000)]
    now[0] = 2.0
    print("again")
    assert kept[-1] == {"stream": "stdout", "text": "again", "skipped": 500}
    print("x" * 100_000)
    assert len(kept[-1]["text"]) == console.LONGEST_LINE


def test_there_is_a_total(monkeypatch):
    monkeypatch.setattr(console, "MOST_BYTES", 100)
    budget = Budget(0.0)
    assert [budget.take(40, float(at)) for at in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "key sk-proj-abcdefghijklmnop1234",
        "hf_abcdefghijklmnopqrstuvwxyz0123",
        "rsp_0123456789abcdef",
        "token ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        'export WANDB_API_KEY="0123456789abcdef0123456789abcdef01234567"',
        "Authorization: Bearer abcdefghijklmnop.qrstuv",
        "postgres://anna:hunter2hunter2@db/x",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        "password: correct-horse",
    ],
)
def test_secrets_of_known_shape_are_not_kept(text):
    clean = redacted(text)
    assert HIDDEN in clean
    secret = max(text.replace('"', " ").replace("=", " ").replace("@", " ").split(), key=len)
    assert secret not in clean
    assert redacted(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "loss 0.125",
        "tokens: 123456",
        "tokens/s=12.5",
        "step=1000 lr=3e-4",
        "task-skipping",
        "monkey: banana",
        "http://h:80/x",
    ],
)
def test_what_is_no_secret_is_kept_as_it_is(text):
    assert redacted(text) == text


def test_a_private_key_is_gone_from_its_first_line_to_its_last():
    redactor = Redactor()
    lines = [
        "before",
        "x -----BEGIN RSA PRIVATE KEY-----",
        "MIIE",
        "abc=",
        "-----END RSA PRIVATE KEY-----",
        "after",
    ]
    assert [redactor.line(line) for line in lines] == ["before", f"x {HIDDEN}", None, None, None, "after"]


def test_a_command_line_keeps_no_secret():
    words = [
        "train.py",
        "--lr",
        "0.1",
        "--api-key",
        "abcd",
        "--token=abcdefgh1234",
        "--hf_token",
        "hf_" + "a" * 30,
    ]
    assert arguments(words)[3:5] == ["--api-key", HIDDEN]
    assert "hf_a" not in " ".join(arguments(words))


def test_it_can_be_switched_off(spool, monkeypatch, capsys):
    respool.init(project="p", id="a", mode="spool", settings=respool.Settings(console="off"))
    print("not kept")
    respool.finish()
    monkeypatch.setenv("WANDB_CONSOLE", "off")
    respool.init(project="p", id="b", mode="spool")
    print("nor this")
    respool.finish()
    assert lines_of(spool) == []
    assert "write" not in vars(sys.stdout)


@pytest.mark.parametrize(
    ("settings", "environ", "off"),
    [
        ({}, {"RESPOOL_CONSOLE": "0"}, "console"),
        ({}, {"WANDB_CONSOLE": "off"}, "console"),
        ({"console": "off"}, {}, "console"),
        ({"system": False}, {}, "system"),
        ({"x_disable_stats": True}, {}, "system"),
        ({"_disable_stats": True}, {}, "system"),
        ({}, {"RESPOOL_SYSTEM": "no"}, "system"),
        ({"about": False}, {}, "about"),
        ({"_disable_meta": True}, {}, "about"),
        ({"x_disable_meta": True}, {}, "about"),
        ({}, {"RESPOOL_ABOUT": "0"}, "about"),
        ({"git": False}, {}, "git"),
        ({"disable_git": True}, {}, "git"),
        ({}, {"WANDB_DISABLE_GIT": "true"}, "git"),
        ({"git": True, "console": "wrap"}, {"RESPOOL_GIT": "0"}, ""),
    ],
)
def test_each_part_of_it_can_be_switched_off_by_itself(monkeypatch, settings, environ, off):
    for name in ("RESPOOL_CONSOLE", "RESPOOL_SYSTEM", "RESPOOL_ABOUT", "RESPOOL_GIT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    run = respool.init(project="p", id="r", mode="spool", settings=settings)
    assert run._place.watched == {"console", "system", "about", "git"} - {off}
    run.finish()


def test_our_own_lines_are_not_the_scripts(heard, capsys):
    _, kept = heard()
    notices.line("ours")
    print("theirs")
    assert texts(kept) == ["theirs"]
    assert "ours" in capsys.readouterr().err


def test_a_stream_that_was_wrapped_in_turn_is_left_alone(capsys, monkeypatch):
    kept = []
    made = Console(kept.append, lambda: False)
    seen, inner = [], sys.stdout.write
    monkeypatch.setattr(sys.stdout, "write", lambda text: (seen.append(text), inner(text))[1])
    print("one")
    made.close()
    print("two")
    assert texts(kept) == ["one"]
    assert "".join(seen) == capsys.readouterr().out == "one\ntwo\n"


def test_streams_that_cannot_be_listened_to_are_left_as_they_are(monkeypatch):
    class Slotted:
        __slots__ = ("said",)

        def write(self, text):
            return len(text)

    monkeypatch.setattr(sys, "stdout", Slotted())
    monkeypatch.setattr(sys, "stderr", None)
    made = Console(lambda _: None, lambda: False)
    print("goes on")
    made.close()


def test_a_closed_stream_fails_as_it_always_did(monkeypatch):
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", closed)
    made = Console(lambda _: None, lambda: False)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        print("x")
    made.close()


def test_what_is_printed_from_within_log_neither_waits_nor_is_lost(spool, capsys):
    class Loud:
        def __del__(self):
            print("gone")

    run = respool.init(project="p", id="r", mode="spool")
    with run._lock:
        Loud()
        gc.collect()
    print("next")
    run.finish()
    assert texts(lines_of(spool)) == ["gone", "next"]


def test_many_threads_print_and_log_at_once(spool, capsys):
    run = respool.init(project="p", id="r", mode="spool")

    def work(number):
        for at in range(50):
            sys.stdout.write(f"{number} {at}\n")
            run.log({"n": at})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    run.finish()
    assert sorted(texts(lines_of(spool))) == sorted(f"{a} {b}" for a in range(4) for b in range(50))


def test_a_traceback_is_kept_and_a_forked_child_prints_on(tmp_path):
    code = """
import os, respool
respool.init(project="p", id="r", mode="spool")
if os.fork() == 0:
    print("child"); os._exit(0)
os.wait()
1 / 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "child\n"
    kept = texts(lines_of(str(tmp_path / "work" / "respool" / "spool")))
    assert kept[0] == "Traceback (most recent call last):"
    assert kept[-1] == "ZeroDivisionError: division by zero"
    assert "child" not in kept


def test_what_a_run_was_started_with_is_recorded_once(spool, monkeypatch):
    monkeypatch.setenv("RESPOOL_ABOUT", "1")
    monkeypatch.setenv("SECRET_OF_MINE", "do-not-tell")
    monkeypatch.setattr(sys, "argv", ["train.py", "--password", "hunter2"])
    run = respool.init(project="p", id="r", mode="spool")
    run._started -= 2
    for _ in range(3):
        run._rung = 0.0
        run.log({"a": 1})
    run.finish()
    about, packages = metas_of(spool)
    assert about["about"]["argv"] == ["train.py", "--password", HIDDEN]
    assert about["about"]["python"] == sys.version.split()[0]
    assert any(name.startswith("pytest==") for name in packages["packages"])
    assert "do-not-tell" not in str((about, packages))


def test_one_that_dies_before_it_logs_has_told_how_it_was_started(spool, tmp_path, monkeypatch):
    commit = a_repository(tmp_path)
    monkeypatch.setenv("RESPOOL_GIT", "1")
    monkeypatch.setenv("RESPOOL_ABOUT", "1")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py"), "--lr", "3"])
    run = respool.init(project="p", id="r", mode="spool")
    (told,) = metas_of(spool)
    assert told["about"]["argv"][1:] == ["--lr", "3"]
    assert told["about"]["git"]["commit"] == commit
    run.finish()


@pytest.mark.parametrize("dirty", [True, False])
def test_a_script_that_ends_at_once_waits_a_moment_for_git(spool, tmp_path, monkeypatch, dirty):
    a_repository(tmp_path)
    if dirty:
        (tmp_path / "train.py").write_text("changed")
    monkeypatch.setattr("respool.run_telemetry.DIRTY_SECONDS", 20.0)
    monkeypatch.setenv("RESPOOL_GIT", "1")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    respool.init(project="p", id="r", mode="spool").finish()
    assert [meta["about"]["git"].get("dirty") for meta in metas_of(spool) if "about" in meta] == [None, dirty]


def test_a_git_that_hangs_is_not_waited_for(spool, tmp_path, monkeypatch):
    a_repository(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("respool.run_telemetry.DIRTY_SECONDS", 0.05)
    monkeypatch.setenv("RESPOOL_GIT", "1")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    respool.init(project="p", id="r", mode="spool").finish()
    assert [sorted(meta["about"]) for meta in metas_of(spool) if "about" in meta] == [["git"]]


def a_repository(folder):
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "one"]):
        (folder / "train.py").touch()
        subprocess.run([*git, *words], check=True, capture_output=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_read_from_gits_files(tmp_path):
    commit = a_repository(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with open(tmp_path / ".git" / "config", "a") as config:
        config.write('[remote "origin"]\n\turl = https://me:secret12@example.org/x.git\n')
    found = surroundings.git_facts(str(below))
    assert found == {"commit": commit, "branch": "main", "remote": f"https://me:{HIDDEN}@example.org/x.git"}
    subprocess.run(["git", "-C", str(tmp_path), "pack-refs", "--all"], check=True)
    assert surroundings.git_facts(str(below))["commit"] == commit
    subprocess.run(["git", "-C", str(tmp_path), "checkout", "-q", "--detach"], check=True)
    assert surroundings.git_facts(str(below)).get("branch") is None
    assert surroundings.git_facts("/") is None


@pytest.mark.parametrize("dirty", [False, True])
def test_git_is_asked_in_the_background_whether_the_tree_is_dirty(tmp_path, monkeypatch, dirty):
    a_repository(tmp_path)
    if dirty:
        (tmp_path / "train.py").write_text("changed")
    check = surroundings.DirtyCheck(str(tmp_path))
    assert until_over(check) is dirty


def until_over(check):
    deadline = time.monotonic() + 20
    while not check.over and time.monotonic() < deadline:
        found = check.poll()
        if found is not None:
            return found
    return None


def test_a_git_that_fails_hangs_or_is_not_there_says_nothing(tmp_path, monkeypatch):
    assert until_over(surroundings.DirtyCheck(str(tmp_path))) is None
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(surroundings, "GIT_SECONDS", 0.0)
    hangs = surroundings.DirtyCheck(str(tmp_path))
    assert until_over(hangs) is None
    assert hangs.over
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert surroundings.DirtyCheck(str(tmp_path)).over
