"""Without its daemon a run continues from what that daemon kept: its spool and its journal, only read."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import blake2b
from zlib import crc32

import pytest

import respool
from respool import own_daemons, spool_history
from respool.wire import codec
from respoold.io import disk
from respoold.io.journal import Journal
from unit.shim.test_spool_mode import attempts, crash


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of this user in the spool of their daemon on this node."""
    folder = tmp_path / "state" / "respool" / os.uname().nodename / "v1" / f"u{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return folder


@pytest.fixture
def with_daemon(kept, spool, monkeypatch, tmp_path):
    """`begin` as it is with a daemon: the attempt lies in its spool. The next one has none."""

    def begin(**options):
        monkeypatch.setenv("RESPOOL_SPOOL_DIR", str(kept))
        run = respool.init(project="p", mode="spool", **{"id": "r", **options})
        monkeypatch.delenv("RESPOOL_SPOOL_DIR")
        return run

    return begin


def alone(**options):
    return respool.init(project="p", mode="spool", **{"id": "r", "resume": "allow", **options})


def listing(folder):
    return sorted((os.path.join(at, name), os.stat(os.path.join(at, name)).st_mtime_ns)
                  for at, _, names in os.walk(folder) for name in names)  # fmt: skip


def retire(kept, head, *, keep_files, **more):
    """What is left when the hub has all of an attempt: its memory, and perhaps its newest files."""
    files = {}
    (directory, _) = attempts(kept)[0]
    for token in os.listdir(os.path.join(directory, "blobs")):
        files[token] = [
            token,
            "c.bin",
            os.path.getsize(os.path.join(directory, "blobs", token)),
            0,
            5,
            2,
            0.0,
        ]
    for name in os.listdir(directory):
        if name.endswith(".seg"):
            os.unlink(os.path.join(directory, name))
    facts = {"rows": 3, "last_step": 2, "first_steps": [0, 1], "state": None, "cut": None}
    body = codec.pack({"base": {"0": [1, 7, facts]}, "files": files})
    with open(os.path.join(directory, "progress"), "wb") as file:
        file.write(crc32(body).to_bytes(4, "little") + body)
    if not keep_files:
        shutil.rmtree(directory)
    memory = {"project": "p", "run_id": "r", "original_id": "r", "head": head, "state": "crashed", "step": 3,
              "config": {"lr": 0.1}, "summary": {"n": 2}, "meta": {"name": "nice"}, "updated_at": 1e9}  # fmt: skip
    digest = blake2b(b"p\0r", digest_size=8).hexdigest()
    (kept / "journal").mkdir(mode=0o700)
    (kept / "journal" / f"r-{digest}.json").write_text(json.dumps(memory | more))


def test_a_run_in_the_daemons_spool_is_resumed_without_writing_there(with_daemon, kept, spool):
    run = with_daemon(config={"lr": 0.1})
    for number in range(3):
        run.log({"n": number})
    before = run.attempt_id
    crash()
    untouched = listing(kept)
    run = alone()
    assert (run.resumed, run.step, run.config["lr"], run.summary["n"]) == (True, 3, 0.1, 2)
    run.log({"n": 3})
    assert listing(kept) == untouched
    assert attempts(spool)[0][1]["parent"] == before


def test_files_are_restored_from_the_daemons_spool(with_daemon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = with_daemon()
    run.log({"n": 0})
    (tmp_path / "c.bin").write_bytes(b"weights")
    assert run.save("c.bin")
    crash()
    (tmp_path / "c.bin").unlink()
    run = alone()
    with run.restore("c.bin") as file:
        assert file.read() == b"weights"


@pytest.mark.parametrize("keep_files", [True, False])
def test_of_a_run_that_the_hub_has_the_journal_is_enough(
    with_daemon, kept, tmp_path, monkeypatch, keep_files
):
    monkeypatch.chdir(tmp_path)
    run = with_daemon()
    (tmp_path / "c.bin").write_bytes(b"weights")
    run.log({"n": 0})
    run.save("c.bin")
    before = run.attempt_id
    crash()
    retire(kept, before, keep_files=keep_files)
    run = alone(resume="must")
    assert (run.resumed, run.step, run.config["lr"], run.summary["n"], run.name) == (True, 3, 0.1, 2, "nice")
    if keep_files:
        with run.restore("c.bin") as file:
            assert file.read() == b"weights"
    else:
        with pytest.raises(FileNotFoundError):
            run.restore("c.bin")


def test_a_memory_that_was_written_late_is_as_old_as_the_attempt_it_is_of(with_daemon, kept):
    run = with_daemon()
    run.log({"n": 0})
    (_, paper), *_ = attempts(kept)
    crash()
    younger = alone(resume="none")
    younger.log({"n": 0})
    crash()
    began = paper["request"]["started_at"]
    retire(kept, run.attempt_id, keep_files=False, updated_at=began + 60, as_of=began)
    assert alone(resume="must").step == 1


def test_attempts_in_both_spools_are_one_lineage(with_daemon, spool):
    first = with_daemon()
    first.log({"n": 0})
    crash()
    second = alone()
    second.log({"n": 1})
    crash()
    third = alone()
    assert (third.step, third._keeper.attached.summary) == (2, {"n": 1})
    assert attempts(spool)[1][1]["parent"] == second.attempt_id


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_not_believed(with_daemon, kept, mode):
    with_daemon().log({"n": 0})
    crash()
    os.chmod(kept, mode)
    assert not alone().resumed


def test_a_folder_behind_a_link_or_of_another_user_is_not_believed(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert own_daemons.ours(str(tmp_path / "real"))
    assert not own_daemons.ours(str(tmp_path / "link"))
    assert not own_daemons.ours(str(tmp_path / "nothing"))
    assert own_daemons.ours("/proc/1") == (os.getuid() == 0)


def test_a_daemon_elsewhere_is_found_where_it_said_so(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "scratch" / "v1" / f"u{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True)
    assert own_daemons.folders(os.environ) == []
    own_daemons.note(str(tmp_path / "scratch"), os.environ)
    assert own_daemons.folders(os.environ) == [str(folder)]
    with monkeypatch.context() as other:
        node = os.uname()
        other.setattr(os, "uname", lambda: type(node)(("Linux", "elsewhere", *node[2:])))
        assert own_daemons.folders(os.environ) == []


def test_an_attempts_number_is_not_given_twice_though_its_folder_is_gone(kept, spool):
    run = alone(resume="none")
    first = run.attempt_id
    crash()
    ((directory, found),) = attempts(spool)
    launch = found["request"]["launch"]
    shutil.rmtree(directory)
    journal = Journal(os.path.dirname(kept))
    journal.note_launch(os.getuid(), ("p", "r"), "another", 0)
    journal.note_launch(os.getuid(), ("p", "r"), launch, 4)
    journal.note_launch(os.getuid(), ("p", "r"), launch, 3)
    assert journal.launches(os.getuid(), ("p", "r")) == {"another": 0, launch: 4}
    run = alone()
    ((_, again),) = attempts(spool)
    assert again["generation"] == 5
    assert run.attempt_id != first
    assert run.step == 0


@pytest.mark.parametrize(
    ("reason", "marked", "noticed", "done"),
    [
        ("exit", False, False, True),
        ("exit", False, True, False),
        ("exit", True, True, True),
        ("finish", False, True, True),
    ],
)
def test_who_left_with_0_under_a_notice_is_done_only_if_it_said_so(
    with_daemon, kept, reason, marked, noticed, done
):
    run = with_daemon()
    run.log({"n": 0})
    if marked:
        run.mark_preempting()
    run._end(0, reason)
    ((directory, _),) = attempts(kept)
    disk.write_progress(directory, {"notices": {"command": 0.0}} if noticed else {})
    (found,) = spool_history.attempts_of([str(kept)], "p", "r", None)
    assert (found.done, found.finished) == (done, done)


@pytest.mark.parametrize("state", ["finished", "crashed"])
def test_a_run_of_which_only_a_journal_knows_is_done_if_that_says_so(with_daemon, kept, state):
    run = with_daemon()
    run.log({"n": 0})
    before = run.attempt_id
    crash()
    retire(kept, before, keep_files=False, state=state)
    (found,) = spool_history.attempts_of([str(kept)], "p", "r", None)
    assert found.done == (state == "finished")
