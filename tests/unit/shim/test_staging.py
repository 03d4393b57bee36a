"""run.checkpoint(staged=True): copied into memory, written behind, and whole whoever dies or hangs meanwhile."""

from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import respool
from respool.checkpoint_room import CheckpointRoom
from respool.tether import Tether
from respool.wire.file_messages import BlobDone, Stage
from unit.shim.saves import blobs, content, records, save, text
from unit.shim.waits import until


@pytest.fixture
def run():
    return respool.init(project="p", id="r", mode="spool")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("respool.tether._PAUSES", (0.0,))
    monkeypatch.setattr("respool.staged_copy.TAKE_SECONDS", 0.2)
    monkeypatch.setattr("respool.staged_copy.SLICE_SECONDS", 0.1)
    for module in ("saving", "checkpoint_room"):
        monkeypatch.setattr(f"respool.{module}.GRANT_SECONDS", 0.2)
    monkeypatch.setattr("respool.saving.OWN_SECONDS", 0.2)


def stage(run, step, data):
    return save(run, step, data, staged=True)


def kept(run, at=0):
    """What the spool has of the checkpoint of a record."""
    token = records(run)[at]["parts"][0]["blob"]
    return text(os.path.join(run._keeper.attached.directory, "blobs", token))


def open_descriptors():
    """What the descriptors of this process lead to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the folder's own
            found.add(os.stat(int(name)).st_ino)
    return found


def test_a_staged_one_is_on_disk_when_wait_says_so(run):
    first = stage(run, 1, b"x" * 100)
    assert first.ok
    second = stage(run, 2, b"y" * 200)
    assert (first.wait(), second.wait()) == (True, True)
    assert [content(one) for one in run.checkpoints()] == [b"y" * 200, b"x" * 100]


def test_a_staged_one_may_grow_seek_and_read_back(run):
    with run.checkpoint(1, staged=True) as file:
        file.write(b"a" * (70 << 20))
        file.seek(5)
        file.write(b"b")
        file.seek(4)
        assert file.read(3) == b"aba"
        file.part("beside").write(b"c")
    assert file.wait()
    found = run.latest_checkpoint()
    assert (len(content(found)), content(found, "beside")) == (70 << 20, b"c")


def test_a_staged_one_is_the_daemon_s_as_soon_as_the_block_is_left(daemon):
    run = respool.init(project="p", id="r")
    made = stage(run, 1, b"staged")
    assert made.ok
    daemon.die()
    assert kept(run) == "staged"


def test_a_daemon_that_does_not_take_it_leaves_it_to_a_thread(daemon):
    daemon.no_stage = True
    run = respool.init(project="p", id="r")
    made = stage(run, 1, b"staged")
    assert made.wait()
    assert kept(run) == "staged"


def test_an_exception_leaves_nothing_of_a_staged_one(run):
    with run.checkpoint(1, staged=True) as file:
        file.write(b"x")
        file.abandon()
    assert (records(run), blobs(run)) == ([], [])


def test_torch_s_own_checksums_are_left_out_only_while_staging(run):
    torch = pytest.importorskip("torch")
    state = {"w": torch.arange(100_000.0), "step": 7}
    with run.checkpoint(1, staged=True) as file:
        assert not torch.serialization.get_crc32_options()
        torch.save(state, file)
    assert torch.serialization.get_crc32_options()
    assert file.wait()
    with run.latest_checkpoint().open() as saved:
        loaded = torch.load(saved)
    assert torch.equal(loaded["w"], state["w"])


def test_what_a_daemon_s_death_cut_short_is_whole_when_wait_says_so(daemon):
    run = respool.init(project="p", id="r")
    daemon.stages = 3
    made = stage(run, 1, b"staged")
    daemon.die()
    assert kept(run) == "sta"
    assert made.wait()
    assert kept(run) == "staged"


def test_what_a_daemon_s_death_cut_short_is_handed_to_the_one_that_comes_back(daemon):
    run = respool.init(project="p", id="r")
    daemon.stages = 3
    assert stage(run, 1, b"staged").ok
    daemon.die()
    daemon.stages = None
    daemon.start()
    until(lambda: run._upkeep(time.time()) or kept(run) == "staged")
    assert daemon.of(Stage)[0] == daemon.of(Stage)[1]


def test_what_is_on_disk_is_not_handed_over_again(daemon):
    run = respool.init(project="p", id="r")
    assert stage(run, 1, b"staged").wait()
    daemon.die()
    daemon.start()
    run._upkeep(time.time())
    assert run.flush()
    assert len(daemon.of(Stage)) == 1


def test_the_next_one_writes_what_a_daemon_s_death_cut_short_before_it_takes_the_memory(daemon):
    run = respool.init(project="p", id="r")
    daemon.stages = 3
    stage(run, 1, b"first!")
    daemon.die()
    with run.checkpoint(2, staged=True):
        assert kept(run) == "first!"


def test_memory_that_a_hanging_daemon_may_still_read_is_left_to_it(daemon):
    run = respool.init(project="p", id="r")
    daemon.stages = 3
    stage(run, 1, b"first!")
    daemon.silent = True
    with run.checkpoint(2, staged=True) as file:
        file.write(b"second")
    assert kept(run) == "first!"
    assert os.pread(daemon.held[0], 6, 0) == b"first!"
    daemon.die()


def test_memory_that_a_daemon_was_sent_and_did_not_answer_for_is_left_to_it(daemon, monkeypatch):
    def stage_in_silence(room, file, stage=CheckpointRoom.stage):
        daemon.silent = True
        return stage(room, file)

    run = respool.init(project="p", id="r")
    monkeypatch.setattr(CheckpointRoom, "stage", stage_in_silence)
    stage(run, 1, b"first!")
    with run.checkpoint(2, staged=True) as file:
        file.write(b"second")
    until(lambda: daemon.held)
    assert os.pread(daemon.held[0], 6, 0) == b"first!"
    assert kept(run) == "first!"
    daemon.die()


def test_the_end_of_a_run_waits_for_it_and_gives_the_memory_back(daemon):
    run = respool.init(project="p", id="r")
    daemon.stages = 3
    stage(run, 1, b"staged")
    daemon.die()
    memory = os.fstat(run._staging.fd).st_ino
    run.finish()
    assert kept(run) == "staged"
    for fd in daemon.held:
        os.close(fd)
    daemon.held.clear()
    assert memory not in open_descriptors()


def test_a_wait_that_is_too_short_says_no_and_a_later_one_yes(daemon):
    run = respool.init(project="p", id="r")
    daemon.stages = 3
    made = stage(run, 1, b"staged")
    daemon.silent = True
    assert not made.wait(0.0)
    daemon.die()
    assert made.wait(5.0)
    assert kept(run) == "staged"


def test_two_at_once_hold_what_each_of_them_was_given(run):
    with run.checkpoint(1, "model", staged=True) as model, run.checkpoint(1, "opt", staged=True) as opt:
        for _ in range(3):
            model.write(b"model")
            opt.write(b"opt!!")
    with run.checkpoint(2, "model", staged=True) as late:
        late.write(b"later")
    assert [one.wait() for one in (model, opt, late)] == [True] * 3
    assert [content(one) for one in run.checkpoints("model")] == [b"later", b"model" * 3]
    assert content(run.latest_checkpoint("opt")) == b"opt!!" * 3


def test_threads_that_stage_at_the_same_time_keep_what_each_of_them_wrote(run):
    def save_all(name):
        for step in range(10):
            stage_as(run, step, name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save_all, "abcd"))
    run._settle_staged()
    for name in "abcd":
        assert content(run.latest_checkpoint(name)) == name.encode() * 200_000


def stage_as(run, step, name):
    with run.checkpoint(step, name, staged=True) as file:
        for _ in range(20):
            file.write(name.encode() * 10_000)
    assert file.ok


def test_one_that_was_asked_for_and_never_written_does_not_keep_the_memory(run):
    run.checkpoint(1, staged=True)
    with run.checkpoint(2, staged=True) as file:
        assert file.arena is not None


def test_one_that_is_refused_before_it_begins_does_not_keep_the_memory(run, narrow):
    with run.checkpoint(1, staged=True, expected=9 << 20) as file:
        file.write(b"x")
    assert not file.ok
    with run.checkpoint(2, staged=True) as file:
        assert file.arena is not None


@pytest.mark.parametrize("size", [0, 3, 6, 9])
@pytest.mark.parametrize("before", [True, False])
def test_truncating_a_staged_one_is_what_it_is_of_any_file(run, tmp_path, size, before):
    stage(run, 0, b"what the memory held before")
    with open(tmp_path / "plain", "w+b") as plain, run.checkpoint(1, staged=True) as staged:
        for file in (plain, staged):
            if before:
                file.truncate(size)
            file.write(b"abcdef")
            if not before:
                file.truncate(size)
            file.write(b"gh")
    assert staged.wait()
    assert kept(run, 1) == text(tmp_path / "plain")


def test_a_hole_in_a_staged_one_is_zeros_and_not_what_was_staged_before(run):
    stage(run, 1, b"x" * 5000)
    with run.checkpoint(2, staged=True) as file:
        file.seek(4000)
        file.write(b"end")
    assert file.wait()
    assert content(run.latest_checkpoint()) == bytes(4000) + b"end"


def test_without_a_further_descriptor_it_is_written_at_once(run, monkeypatch):
    with monkeypatch.context() as full, run.checkpoint(1, staged=True) as file:
        file.write(b"staged")
        full.setattr(os, "dup", lambda _: refuse(errno.EMFILE))
    assert (file.ok, file.wait(), content(run.latest_checkpoint())) == (True, True, b"staged")


def refuse(code):
    raise OSError(code, os.strerror(code))


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("RESPOOL_BLOBS_QUOTA", "2500K")


def test_one_that_does_not_fit_is_refused_when_its_size_is_known_and_costs_no_other(run, narrow, capsys):
    run.keep_checkpoints(last=1)
    assert stage(run, 1, b"x" * (1 << 20)).wait()
    for step in (2, 3, 4):
        assert not stage(run, step, b"x" * (3 << 20)).ok
    assert "2 MiB are missing" in capsys.readouterr().err
    assert [one.step for one in run.checkpoints()] == [1]
    assert (len(blobs(run)), run.latest_checkpoint().step) == (2, 1), (
        "its bytes and the note that they are synced"
    )


def test_one_that_never_got_to_the_disk_outlives_no_other_and_fills_no_disk(run, monkeypatch, capsys):
    run.keep_checkpoints(last=1)
    assert stage(run, 1, b"first").wait()
    with monkeypatch.context() as full:
        full.setattr("respool.staged_copy.os.fsync", lambda _: refuse(errno.ENOSPC))
        lost = stage(run, 2, b"second")
        assert not lost.wait()
    assert kept(run, 1) == ""
    assert run.latest_checkpoint().step == 1
    with run.checkpoint(3, staged=True) as third:
        assert run.latest_checkpoint().step == 1
        third.write(b"third")
    assert third.wait()
    assert "did not get to the disk" in capsys.readouterr().err
    run.finish()
    assert (kept(run, 2), len(blobs(run))) == ("third", 2), "the others went when the third was whole"


def test_what_is_being_synced_has_not_outlived_any_other_yet(run, monkeypatch):
    run.keep_checkpoints(last=1)
    assert stage(run, 1, b"first").wait()

    committed = threading.Event()

    def full(_):
        committed.wait(10)
        run._local_retention.tidy()
        refuse(errno.ENOSPC)

    with monkeypatch.context() as late:
        late.setattr("respool.staged_copy.os.fsync", full)
        lost = stage(run, 2, b"second")
        committed.set()
        assert not lost.wait()
    assert content(run.latest_checkpoint()) == b"first"


def test_the_daemon_is_told_what_is_still_in_memory(daemon):
    run = respool.init(project="p", id="r")
    made = stage(run, 1, b"x" * 100)
    assert list(daemon.of(BlobDone)[0].sizes.values()) == [100]
    assert made.wait()


@pytest.mark.parametrize("staged", [True, False])
def test_a_daemon_that_hangs_is_waited_for_once_and_not_at_each_checkpoint(
    daemon, monkeypatch, capsys, staged
):
    asked = []
    ask = Tether.ask

    def counted(tether, message, *rest, **more):
        asked.append(type(message).__name__)
        return ask(tether, message, *rest, **more)

    run = respool.init(project="p", id="r")
    assert save(run, 1, b"first", staged=staged).wait()
    monkeypatch.setattr(Tether, "ask", counted)
    daemon.silent = True
    for step in (2, 3, 4):
        assert save(run, step, b"later", staged=staged).ok
    assert asked == ["BlobRequest"]
    assert capsys.readouterr().err.count("the daemon does not answer") == 1
    run._settle_staged()
    assert kept(run, 3) == "later"
    daemon.die()
