"""run.checkpoint(): all of it or nothing, straight into the spool, and back."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import respool
from respool import checkpoint_file
from respoold.core.attempt import Attempt
from respoold.core.progress import progress_of
from respoold.io import disk
from unit.io.spools import read
from unit.shim.saves import blobs, content, records, save, text


@pytest.fixture
def run():
    return respool.init(project="p", id="r", mode="spool")


def test_what_was_written_comes_back_with_its_step_and_metadata(run):
    made = save(run, 7, b"seven", metadata={"lr": 0.1})
    assert (made.ok, made.wait()) == (True, True)
    found = run.latest_checkpoint()
    assert (found.step, found.metadata, found.size, found.source) == (7, {"lr": 0.1}, 5, "spool")
    with found.open() as file:
        assert file.read() == b"seven"
    assert [one.step for one in run.checkpoints()] == [7]


@pytest.mark.parametrize("step", [1 << 62, -(1 << 70), "seven", 1.5, float("nan")])
def test_a_step_that_is_none_costs_no_checkpoint_and_is_said_once(run, capsys, step):
    run.log({"x": 1}, step=6)
    for _ in range(2):
        assert save(run, step).ok
    assert {one.step for one in run.checkpoints()} == {6}
    assert capsys.readouterr().err.count("is no step; it is kept as the checkpoint of step 6.") == 1


def test_the_latest_is_the_one_saved_last_and_of_one_step_the_last(run):
    for step, data in ((10, b"ten"), (20, b"twenty"), (20, b"again")):
        save(run, step, data)
    assert [one.step for one in run.checkpoints()] == [20, 10]
    assert content(run.latest_checkpoint()) == b"again"
    assert run.latest_checkpoint("other") is None


def half(run):
    with run.checkpoint(1) as file:
        file.write(b"half")
        raise KeyError(file)


def test_an_exception_in_the_block_leaves_nothing_and_passes(run):
    with pytest.raises(KeyError) as caught:
        half(run)
    file = caught.value.args[0]
    assert (file.ok, records(run), blobs(run)) == (False, [], [])


def test_abandoned_on_purpose_it_leaves_nothing(run):
    with run.checkpoint(1) as file:
        file.write(b"half")
        file.abandon()
    assert (file.ok, records(run), blobs(run)) == (False, [], [])


def test_all_parts_appear_with_one_record(run):
    with run.checkpoint(3) as file:
        file.write(b"model")
        file.part("optimizer.pt").write(b"adam")
        file.part("deep/rng").write(b"rng")
        assert records(run) == []
    assert [part["name"] for part in records(run)[0]["parts"]] == ["", "optimizer.pt", "deep/rng"]
    found = run.latest_checkpoint()
    assert content(found, "deep/rng") == b"rng"
    with pytest.raises(FileNotFoundError, match=r"has no part 'x'.*deep/rng"):
        found.open("x")


def test_a_folder_becomes_the_parts_and_is_removed(run, tmp_path):
    with run.checkpoint_dir(5, metadata={"a": 1}) as folder:
        os.makedirs(os.path.join(folder, "sub"))
        for name in ("a.bin", "sub/b.bin"):
            with open(os.path.join(folder, name), "w") as file:
                file.write(name)
    assert not os.path.exists(folder)
    found = run.latest_checkpoint()
    assert [part.name for part in found.parts] == ["a.bin", "sub/b.bin"]
    paths = found.restore(tmp_path / "out")
    assert [text(path) for path in paths] == ["a.bin", "sub/b.bin"]
    assert paths == [str(tmp_path / "out" / "a.bin"), str(tmp_path / "out" / "sub" / "b.bin")]


def test_what_a_killed_process_left_of_a_folder_is_removed_by_the_next_one_and_nothing_else(run):
    script = "import sys; from respool.checkpoint_folder import *\n"
    script += "with empty_folder(sys.argv[1]) as folder: print(folder, flush=True); input()"
    words = [sys.executable, "-c", script, run.dir]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    dead, alive = (subprocess.Popen(words, **pipes) for _ in range(2))
    left, held = dead.stdout.readline().strip(), alive.stdout.readline().strip()
    dead.kill()
    dead.communicate()
    others = os.path.join(run.dir, ".checkpoint-of-another-machine")
    os.makedirs(others)
    with run.checkpoint_dir(5) as folder:
        assert [os.path.exists(path) for path in (left, held, others, folder)] == [False, True, True, True]
    alive.communicate("\n")
    assert (alive.returncode, os.path.exists(held)) == (0, False)


def test_a_spool_that_was_removed_does_not_hide_what_ended_the_block(run, spool):
    def save_and_fail():
        with run.checkpoint(1) as file:
            file.write(b"x")
            shutil.rmtree(spool)
            raise KeyError

    with pytest.raises(KeyError):
        save_and_fail()


def test_a_part_that_is_called_as_a_folder_of_another_is_kept_under_another_name(run, tmp_path, capsys):
    with run.checkpoint(1) as file:
        for name in ("a", "a/b", "c/d", "c", "a/b"):
            file.part(name).write(name.encode())
    paths = run.latest_checkpoint().restore(tmp_path / "out")
    assert [os.path.relpath(path, tmp_path / "out") for path in paths] == ["a", "a-b-file", "c/d", "c-file"]
    assert [text(path) for path in paths] == ["a", "a/ba/b", "c/d", "c"]
    assert (
        "part('a/b') is a file and a folder in one checkpoint; it is kept as 'a-b-file'"
        in capsys.readouterr().err
    )


def test_a_folder_that_an_exception_leaves_half_full_is_no_checkpoint(run):
    def half_a_folder():
        with run.checkpoint_dir(5) as folder:
            os.mkfifo(os.path.join(folder, "a"))
            raise KeyError(folder)

    with pytest.raises(KeyError) as caught:
        half_a_folder()
    assert (records(run), blobs(run), os.path.exists(caught.value.args[0])) == ([], [], False)


def test_writers_that_seek_and_read_back_find_a_file(run):
    with run.checkpoint(1) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"x" * 1000)
    with run.latest_checkpoint().open() as file, zipfile.ZipFile(file) as archive:
        assert archive.read("a") == b"x" * 1000
    with run.checkpoint(2) as file:
        pickle.dump({"a": list(range(100_000))}, file)
        file.seek(0)
        assert pickle.load(file)["a"][-1] == 99_999
    with run.checkpoint(3) as file:
        file.write(b"0123456789")
        file.truncate(4)
    assert content(run.latest_checkpoint()) == b"0123"


def test_a_disk_that_fills_up_makes_a_sink_and_training_goes_on(run, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    with run.checkpoint(1) as file:
        file.write(b"some")
        monkeypatch.setattr(checkpoint_file.os, "pwrite", full)
        assert file.write(b"more") == 4
        monkeypatch.undo()
    assert (file.ok, file.wait(), records(run), blobs(run)) == (False, False, [], [])
    assert "checkpoint checkpoint at step 1 was not kept: No space left on device" in capsys.readouterr().err
    run.log({"a": 1})
    assert save(run, 2).ok


def test_strict_says_so_with_an_exception(tmp_path, monkeypatch):
    run = respool.init(project="p", id="s", mode="spool", settings={"strict": True})
    monkeypatch.setattr(checkpoint_file.os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(respool.RecordLostError, match="was not kept: full"):
        save(run, 1)
    monkeypatch.undo()


def test_strict_refuses_a_step_that_is_none():
    run = respool.init(project="p", id="r", mode="spool", settings={"strict": True})
    with pytest.raises(respool.UsageError, match="is no step"):
        run.checkpoint("seven")


def test_the_daemon_is_asked_before_and_after_and_may_refuse(daemon, capsys):
    run = respool.init(project="p", id="r")
    assert save(run, 1).wait()
    daemon.refuse_done = "12 MiB are missing"
    assert not save(run, 2).ok
    assert "12 MiB are missing" in capsys.readouterr().err
    daemon.refuse_done = None
    daemon.blobs_full = True
    refused = run.checkpoint(3)
    with refused as file:
        assert file.write(b"x" * 100) == 100
    assert not refused.ok
    assert [record["step"] for record in records(run)] == [1]
    assert len(blobs(run)) == 1


def test_a_daemon_that_died_costs_no_checkpoint(daemon):
    run = respool.init(project="p", id="r")
    with run.checkpoint(1) as file:
        file.write(b"a")
        daemon.die()
        file.write(b"b")
    assert file.ok
    daemon.start()
    found = [text(os.path.join(run._keeper.attached.directory, "blobs", one)) for one in blobs(run)]
    assert found == ["ab"]


def test_the_policy_and_the_score_travel_with_the_record(run):
    run.keep_checkpoints(last=3, every=100, best="val/loss", mode="min")
    run.log({"val/loss": 0.25})
    save(run, 1)
    save(run, 2, metadata={"val/loss": 0.125})
    said = [(record["keep"], record["score"]) for record in records(run)]
    policy = {"last": 3, "every": 100, "mode": "min"}
    assert said == [(policy, 0.25), (policy, 0.125)]


def test_without_a_daemon_what_newer_ones_outlive_goes_by_the_same_rule(run):
    run.keep_checkpoints(last=2, every=40, best="loss", mode="min")
    for step, loss in ((10, 0.9), (20, 0.1), (30, 0.5), (40, 0.6), (50, 0.7), (60, 0.8), (70, 0.8)):
        save(run, step, b"%d" % step, metadata={"loss": loss}, pinned=step == 30)
    save(run, 80, b"ema", name="ema")
    assert [(one.name, one.step, one.complete) for one in run.checkpoints()] == [
        ("ema", 80, True), *(("checkpoint", step, True) for step in (70, 60, 40, 30, 20))
    ]  # fmt: skip
    assert len(blobs(run)) == 6
    assert content(run.latest_checkpoint()) == b"70"


def test_without_a_daemon_a_full_spool_keeps_the_newest_and_undoes_what_does_not_fit(
    run, monkeypatch, capsys
):
    monkeypatch.setenv("RESPOOL_BLOBS_QUOTA", "2500K")
    mib = b"x" * (1 << 20)
    assert [save(run, step, mib, expected=1 << 20).ok for step in (1, 2, 3)] == [True, True, True]
    assert [one.step for one in run.checkpoints()] == [3, 2]
    assert save(run, 4, mib).ok, "of unknown size: room is made when it is written"
    assert [one.step for one in run.checkpoints()] == [4, 3]
    made = save(run, 5, 3 * mib)
    assert (made.ok, [one.step for one in run.checkpoints()]) == (False, [4, 3]), (
        "too large whatever goes for it"
    )
    said = capsys.readouterr().err
    assert "checkpoint checkpoint at step 5 was not kept: files in " in said
    assert "hold 5 MiB of the 2 MiB allowed; 3 MiB are missing" in said
    with run.checkpoint(6, expected=2 << 20) as file:
        assert file.error is not None, "refused before it began"
        file.write(2 * mib)
    assert (file.ok, len(blobs(run))) == (False, 2)
    run.log({"a": 1})
    assert save(run, 7).ok


def test_without_a_daemon_a_run_that_is_killed_often_makes_room_of_what_its_earlier_lives_left(monkeypatch):
    monkeypatch.setenv("RESPOOL_BLOBS_QUOTA", "3500K")
    mib = b"x" * (1 << 20)
    for life in range(5):
        run = respool.init(project="p", id="r", mode="spool", resume="allow")
        for _ in range(2):
            run.log({"life": life})
            assert save(run, run.step - 1, mib).ok, life
        left = [one.step for one in run.checkpoints()]
        assert left[:2] == [2 * life + 1, 2 * life], "its own; what others left only goes when room is short"
        run.finish(exit_code=1)
    assert content(run.latest_checkpoint()) == mib


@pytest.mark.parametrize(
    "wrong",
    [{"last": 0}, {"every": -1}, {"mode": "best"}, {"last": "x"}, {"every": None}, {"best": 5}, {"mode": []}],
)
def test_a_policy_that_means_nothing_changes_nothing_and_is_said(run, wrong, capsys):
    run.keep_checkpoints(last=3)
    before = dict(run._keep)
    run.keep_checkpoints(**wrong)
    assert run._keep == before
    assert "means nothing; what was kept before is kept" in capsys.readouterr().err


def test_ranks_write_shares_and_a_share_alone_is_no_checkpoint(run, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        assert run.latest_checkpoint() is None
        monkeypatch.setenv("RANK", rank)
        save(run, 8, f"rank {rank}".encode(), sharded=True)
    found = run.latest_checkpoint()
    assert (found.world, content(found), content(found, rank=1)) == (2, b"rank 0", b"rank 1")
    with pytest.raises(respool.UsageError, match="was written by 2 ranks and is read by 4"):
        found.open(world=4)
    assert len(found.restore(tmp_path / "o")) == 2
    for world in ("1", "4"):
        monkeypatch.setenv("WORLD_SIZE", world)
        with pytest.raises(respool.UsageError, match=f"written by 2 ranks and is read by {world}"):
            found.open()
        shares = found.open_all()
        assert [file.read() for file in shares] == [b"rank 0", b"rank 1"]
        for file in shares:
            file.close()
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("RANK", "1")
    assert content(found) == b"rank 1"
    with pytest.raises(FileNotFoundError, match="has no part 'x' of rank 0"):
        found.open_all("x")
    monkeypatch.delenv("RANK")


def test_shares_of_two_saves_of_a_step_are_never_mixed(run, monkeypatch):
    def share(rank, data):
        monkeypatch.setenv("RANK", str(rank))
        save(run, 4, data, sharded=True, metadata={"by": rank, f"of {rank}": True})

    def found():
        monkeypatch.delenv("RANK")
        latest = run.latest_checkpoint()
        files = latest.open_all()
        return [(file.read(), file.close())[0] for file in files], latest.metadata

    monkeypatch.setenv("WORLD_SIZE", "2")
    told = {"by": 0, "of 0": True, "of 1": True}
    share(0, b"A0")
    share(1, b"A1")
    share(0, b"B0")
    assert found() == ([b"A0", b"A1"], told)
    share(1, b"B1")
    assert found() == ([b"B0", b"B1"], told)


def test_a_share_without_a_step_is_said_to_find_no_others(run, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    save(run, None, sharded=True)
    assert "given no step, and only ranks that log know one; this share is kept as one of step 0" in (
        capsys.readouterr().err
    )


def test_a_share_of_nobody_knows_which_rank_is_kept_as_a_whole_and_said(run, capsys):
    save(run, 9, sharded=True)
    assert (run.latest_checkpoint().step, run.latest_checkpoint().complete) == (9, True)
    assert "RANK is '' and WORLD_SIZE ''; it is kept as a whole" in capsys.readouterr().err
    run.finish()
    with pytest.raises(respool.UsageError, match=r"RANK is ''.*torchrun"):
        respool.init(project="p", mode="spool", settings={"strict": True}).checkpoint(9, sharded=True)


def test_a_resumed_run_finds_them_and_a_rewound_one_only_those_before(run):
    run.keep_checkpoints(last=9)
    for step in (1, 5, 9):
        run.log({"a": 1}, step=step)
        save(run, step)
    run.finish()
    again = respool.init(project="p", id="r", mode="spool", resume="allow")
    assert again.latest_checkpoint().step == 9
    again.rewind(6)
    again.log({"a": 2})
    assert [one.step for one in again.checkpoints()] == [5, 1]


def test_a_cut_hides_by_the_rows_that_were_logged_not_by_the_trainer_s_own_count(run):
    run.keep_checkpoints(last=9)
    for step in range(4):
        run.log({"loss": 1.0})
        save(run, 50 * (step + 1))
    run.finish()
    again = respool.init(project="p", id="r", mode="spool", resume="allow")
    again.rewind(2)
    again.log({"loss": 0.5})
    assert [(one.step, one.logged_step) for one in again.checkpoints()] == [(100, 1), (50, 0)]


def lightning(run, first, last, name="trainer/global_step"):
    """Rows, checkpoints and files as of a trainer that never names a step."""
    run.keep_checkpoints(last=20)
    for at in range(first, last):
        run.log({"loss": 1.0, name: at})
        save(run, at, f"{at}".encode())
        with open("state.txt", "w", encoding="utf-8") as file:
            file.write(str(at))
        run.save("state.txt", policy="now")


@pytest.mark.parametrize("name", ["trainer/global_step", "my_step"])
def test_of_a_trainer_that_names_no_step_those_that_it_repeats_are_hidden_by_how_far_it_is(run, name):
    run.define_metric("loss", step_metric=name)
    lightning(run, 0, 10, name)
    run.finish()
    again = respool.init(project="p", id="r", mode="spool", resume="allow")
    again.define_metric("loss", step_metric=name)
    again.log({"loss": 1.0, name: 6})
    assert [one.step for one in again.checkpoints()] == [5, 4, 3, 2, 1, 0]
    with again.restore("state.txt", root="there") as file:
        assert file.read() == b"5"
    again.finish()
    # The next goes back behind the one before it, and behind what that one repeated.
    third = respool.init(project="p", id="r", mode="spool", resume="allow")
    third.define_metric("loss", step_metric=name)
    lightning(third, 3, 5, name)
    assert [(one.step, content(one)) for one in third.checkpoints()][:3] == [(4, b"4"), (3, b"3"), (2, b"2")]
    assert len(third.checkpoints()) == 5


def test_files_of_rows_that_were_rewound_are_hidden_too(run, tmp_path):
    for step in (1, 5, 9):
        run.log({"a": 1}, step=step)
        with open("state.txt", "w", encoding="utf-8") as file:
            file.write(str(step))
        run.save("state.txt", policy="now")
    run.finish()
    again = respool.init(project="p", id="r", mode="spool", resume="allow")
    with again.restore("state.txt", root=tmp_path / "1") as file:
        assert file.read() == b"9"
    again.rewind(6)
    with again.restore("state.txt", root=tmp_path / "2") as file:
        assert file.read() == b"5"


def test_those_whose_records_a_daemon_deleted_are_found_by_what_it_noted(run):
    run.log({"a": 1}, step=4)
    save(run, 7, b"seven", metadata={"lr": 0.1})
    directory = run._keeper.attached.directory
    run.finish()
    attempt = Attempt(disk.read_attempt(directory), directory, adopted=True)
    attempt.note(0, read(directory, own=False, attempt=attempt).frames, 0.0)
    disk.write_progress(directory, progress_of(attempt))
    for name in os.listdir(directory):
        if name.endswith(".seg"):
            os.unlink(os.path.join(directory, name))
    again = respool.init(project="p", id="r", mode="spool", resume="allow")
    found = again.latest_checkpoint()
    assert (found.step, found.logged_step, found.metadata) == (7, 4, {"lr": 0.1})
    assert content(found) == b"seven"


def test_a_torn_blob_is_no_complete_checkpoint(run):
    save(run, 1, b"first")
    save(run, 2, b"second")
    newest = records(run)[-1]["parts"][0]["blob"]
    os.truncate(os.path.join(run._keeper.attached.directory, "blobs", newest), 3)
    assert run.latest_checkpoint().step == 1


@pytest.mark.parametrize("mode", ["disabled", "spool"])
def test_a_run_that_keeps_nothing_swallows_them_in_silence(mode, capsys):
    run = respool.init(project="p", id="r", mode=mode)
    run.finish()
    capsys.readouterr()
    made = save(run, 1)
    assert not made.ok
    assert "not kept" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../x", "x"),
        ("a\0b", "ab"),
        ("", "checkpoint"),
        ("..", "checkpoint"),
        (7, "7"),
        ("é" * 600, "é" * 100),
    ],
)
def test_a_name_that_no_file_of_a_run_can_have_costs_no_checkpoint_and_is_said(run, capsys, name, kept):
    assert save(run, 1, name=name).ok
    assert [one.name for one in run.checkpoints()] == [kept]
    assert "is no name of a file in a run" in capsys.readouterr().err


def test_a_part_that_leads_out_stays_inside_and_two_of_them_stay_two(run, capsys):
    with run.checkpoint(1) as file:
        for each in ("../../y", "../y"):
            file.part(each).write(each.encode())
    found = run.latest_checkpoint()
    assert [content(found, part.name) for part in found.parts] == [b"../../y", b"../y"]
    assert "is no name of a file in a checkpoint" in capsys.readouterr().err


def test_metadata_that_are_no_dict_are_kept_all_the_same(run, capsys):
    save(run, 1, metadata=[1, 2])
    assert run.latest_checkpoint().metadata == {"metadata": [1, 2]}
    assert "is no dict" in capsys.readouterr().err


def test_a_folder_with_a_link_to_nothing_is_no_checkpoint_and_raises_nothing(run, capsys):
    with run.checkpoint_dir(1) as folder:
        os.symlink("gone", os.path.join(folder, "x"))
    assert run.latest_checkpoint() is None
    assert "cannot be opened: No such file" in capsys.readouterr().err


def test_a_folder_s_links_to_folders_are_followed_but_not_in_circles(run):
    with run.checkpoint_dir(1) as folder:
        os.makedirs(os.path.join(folder, "step-1"))
        with open(os.path.join(folder, "step-1", "w"), "wb") as file:
            file.write(b"1")
        os.symlink("step-1", os.path.join(folder, "latest"))
        os.symlink("..", os.path.join(folder, "step-1", "up"))
    found = run.latest_checkpoint()
    assert sorted(part.name for part in found.parts) == ["latest/w", "step-1/w"]


def test_an_array_without_elements_is_written_and_a_closed_file_is_none(run):
    with run.checkpoint(1) as file:
        assert file.write(memoryview(b"")) == 0
        assert file.write(np.zeros((0, 3))) == 0
        file.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        file.write(b"y")


def test_the_longest_name_that_a_file_can_have_is_restored_and_by_two_threads_at_once(run, tmp_path):
    name = "n" * 255
    (tmp_path / name).write_bytes(b"bytes" * 100_000)
    run.save(str(tmp_path / name), base_path=str(tmp_path))

    def back(_):
        with run.restore(name, root=str(tmp_path / "out"), replace=True) as file:
            return file.read() == b"bytes" * 100_000

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(back, range(20)))
    assert os.listdir(tmp_path / "out") == [name]


def test_without_a_daemon_the_end_has_checkpoints_on_disk_and_notes_it(run):
    save(run, 1)
    save(run, 2)
    assert not any(name.endswith(".chunks") for name in blobs(run))
    run.finish()
    assert sorted(blobs(run)) == sorted(
        name + end for name in blobs(run) if not name.endswith(".chunks") for end in ("", ".chunks")
    )
    assert len(blobs(run)) == 4


def test_without_a_daemon_what_the_kernel_has_long_written_is_noted_with_the_next(run):
    save(run, 1)
    (old,) = blobs(run)
    os.utime(os.path.join(run._keeper.attached.directory, "blobs", old), (0, 0))
    save(run, 2)
    assert [name for name in blobs(run) if name.endswith(".chunks")] == [f"{old}.chunks"]


def test_a_resumed_run_whose_daemon_is_silent_is_not_told_that_there_is_no_checkpoint(daemon):
    daemon.answer = {"step": 41, "resumed": True}
    run = respool.init(project="p", id="r", resume="must")
    daemon.die()
    with pytest.raises(respool.CommError, match="gave no answer"):
        run.latest_checkpoint()


def test_a_new_run_whose_daemon_is_silent_has_no_checkpoint_but_its_own(daemon):
    run = respool.init(project="p", id="r")
    daemon.die()
    assert run.latest_checkpoint() is None


@pytest.mark.parametrize("part", ["model", "model/head.pt"])
def test_a_part_that_is_called_as_its_checkpoint_does_not_take_its_place(run, tmp_path, part):
    with run.checkpoint(1, name="model") as file:
        file.write(b"own")
        file.part(part).write(b"part")
    paths = run.latest_checkpoint("model").restore(tmp_path / "back")
    assert {os.path.relpath(path, tmp_path / "back") for path in paths} == {"model-own", part}
    assert (tmp_path / "back" / part).read_bytes() == b"part"
    assert (tmp_path / "back" / "model-own").read_bytes() == b"own"


def test_no_descriptor_stays_open_when_a_strict_run_says_that_it_was_not_kept(monkeypatch):
    run = respool.init(project="p", id="s", mode="spool", settings={"strict": True})
    monkeypatch.setattr("respool.checkpoint_room.CheckpointRoom.kept", lambda *_: "it is full")
    before, kept = len(os.listdir("/proc/self/fd")), []
    for step in range(3):
        made = run.checkpoint(step)
        made.write(b"x")
        made.part("y").write(b"y")
        with pytest.raises(respool.RecordLostError, match="it is full"):
            made.__exit__(None, None, None)
        kept.append(made)
    assert len(os.listdir("/proc/self/fd")) == before
