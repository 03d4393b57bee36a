"""save() and restore(): names, snapshots, what cannot be saved, where a restored file goes."""

from __future__ import annotations

import os
import threading

import pytest

import respool
from fakes.daemon import frames_in
from respool import blobs
from respool.later_versions import AT_ONCE, LaterVersions, stamp_at
from respool.wire import codec
from respool.wire.file_messages import Changed, Watch, Watched
from respool.wire.frames import Kind
from respool.wire.messages import Reattach
from respool.wire.settling import QUIET_SECONDS
from unit.shim.waits import until


@pytest.fixture
def run():
    return respool.init(project="p", id="r", mode="spool")


def write(path, data=b"data"):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def records(run):
    frames = frames_in(run._keeper.attached.directory)
    return [codec.unpack(frame.payload) for frame in frames if frame.kind == Kind.FILE]


def names(run):
    return [record["name"] for record in records(run)]


@pytest.mark.parametrize(
    ("path", "base", "name"),
    [
        ("x.bin", None, "x.bin"),
        ("./x.bin", None, "x.bin"),
        ("a/../x.bin", None, "x.bin"),
        ("a/b/x.bin", None, "a/b/x.bin"),
        ("a/b/x.bin", "a", "b/x.bin"),
        ("../outside.bin", None, "outside.bin"),
        ("x.bin", "a", "x.bin"),
    ],
)
def test_a_file_is_called_by_its_path_below_the_base(run, path, base, name):
    os.makedirs("a/b", exist_ok=True)
    write(path)
    assert run.save(path, base_path=base)
    assert names(run) == [name]


def test_an_absolute_path_is_called_as_it_lies_here_and_in_the_runs_folder_by_its_own_name(run):
    write("a/x.bin")
    run.save(os.path.abspath("a/x.bin"))
    write(os.path.join(run.dir, "m.bin"))
    run.save(os.path.join(run.dir, "m.bin"))
    assert names(run) == ["a/x.bin", "m.bin"]


def test_a_pattern_saves_all_its_files_and_no_folder(run):
    for name in ("a/1.pt", "a/2.pt", "a/sub.pt/x"):
        write(name)
    assert run.save("a/*.pt") == ["a/1.pt", "a/2.pt"]


def test_a_literal_name_with_brackets_is_no_pattern(run):
    write("ck[1].pt")
    assert run.save("ck[1].pt") == ["ck[1].pt"]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: None, "No such file"),
        (lambda: os.mkfifo("x"), "not a regular file"),
        (lambda: os.mkdir("x"), "not a regular file"),
    ],
)
def test_what_cannot_be_saved_is_one_clear_warning(run, capsys, make, why):
    make()
    assert run.save("x") is False
    assert run.save("x") is False
    assert capsys.readouterr().err.count(why) == 1
    assert records(run) == []


def test_nothing_matched_says_so(run, capsys):
    assert run.save("*.none") is False
    assert "matches no file" in capsys.readouterr().err


def test_a_snapshot_has_the_bytes_of_the_call(run):
    data = os.urandom(3_000_000)
    write("x", data)
    run.save("x", policy="end")
    write("x", b"later")
    (record,) = records(run)
    with open(os.path.join(run._keeper.attached.directory, "blobs", record["blob"]), "rb") as file:
        assert file.read() == data
    assert record["size"] == len(data)
    assert record["policy"] == "end"


def test_every_way_of_copying_copies_the_same_bytes(monkeypatch, tmp_path):
    data = os.urandom(100_001)
    write("s", data)
    for how in ("copy_file_range", "copy"):
        if how == "copy":
            monkeypatch.delattr(os, "copy_file_range")
        source = os.open("s", os.O_RDONLY)
        target = os.open(tmp_path / how, os.O_RDWR | os.O_CREAT)
        size, used = blobs.snapshot(source, target)
        assert size == len(data)
        assert used in {how, "reflink", "copy"}
        assert (tmp_path / how).read_bytes() == data
        os.close(source)
        os.close(target)


def test_a_file_that_keeps_changing_is_never_a_version(run, monkeypatch, capsys):
    write("x", b"1234")
    count = iter(range(100))

    def copy(source, target, size):
        os.pwrite(target, b"1234", 0)
        write("x", b"x" * (10 + next(count)))
        return "copy"

    monkeypatch.setattr(blobs, "_copy", copy)
    assert run.save("x") is False
    assert records(run) == []
    assert os.listdir(os.path.join(run._keeper.attached.directory, "blobs")) == []
    assert "kept changing" in capsys.readouterr().err


def test_a_writer_in_another_thread_never_makes_a_mixed_version(run):
    write("x", b"a" * 200_000)
    stop = threading.Event()

    def rewrite():
        letter = 0
        while not stop.is_set():
            letter = (letter + 1) % 26
            write("x.new", bytes([97 + letter]) * 200_000)
            os.replace("x.new", "x")

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        for _ in range(50):
            run.save("x")
    finally:
        stop.set()
        thread.join()
    for record in records(run):
        with open(os.path.join(run._keeper.attached.directory, "blobs", record["blob"]), "rb") as file:
            data = file.read()
        assert len(data) == 200_000
        assert len(set(data)) == 1


def test_restore_gives_back_the_newest_version_as_bytes(run):
    for data in (b"one", b"two"):
        write("ck", data)
        run.save("ck")
    os.remove("ck")
    with run.restore("./ck") as file:
        assert file.read() == b"two"
        assert file.name == os.path.join(run.dir, "ck")


def test_restore_reaches_back_along_the_lineage():
    run = respool.init(project="p", id="r", mode="spool")
    run.log({"a": 1})
    write("a", b"old a")
    write("b", b"old b")
    run.save("a")
    run.save("b")
    run.finish(1)
    run = respool.init(project="p", id="r", mode="spool", resume="must")
    run.log({"a": 1})
    write("a", b"new a")
    run.save("a")
    run.finish(1)
    respool.init(project="p", id="r", mode="spool", resume="must")
    for name, data in (("a", b"new a"), ("b", b"old b")):
        with respool.restore(name) as file:
            assert file.read() == data


def test_restore_takes_another_runs_file_by_its_path(run):
    write("ck", b"of r")
    run.save("ck")
    run.finish()
    other = respool.init(project="q", id="o", mode="spool")
    for path in ("p/r", "someone/p/r"):
        with other.restore("ck", run_path=path) as file:
            assert file.read() == b"of r"
    with pytest.raises(FileNotFoundError):
        other.restore("ck")
    with pytest.raises(FileNotFoundError):
        other.restore("ck", run_path="a/b/c/d")


def test_restore_does_not_overwrite_a_different_file_unless_told(run, capsys, tmp_path):
    write("ck", b"saved")
    run.save("ck")
    write("ck", b"newer work")
    with run.restore("ck", root=".") as file:
        assert file.read() == b"saved"
        assert file.name == os.path.join(run.dir, "ck")
    with open("ck", "rb") as file:
        assert file.read() == b"newer work"
    assert "exists and differs" in capsys.readouterr().err
    with run.restore("ck", root=".", replace=True) as file:
        assert file.read() == b"saved"
    with open("ck", "rb") as file:
        assert file.read() == b"saved"
    with run.restore("ck", root=".") as file:
        assert os.path.abspath(file.name) == os.path.abspath("ck")


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "", "a\0b"])
def test_restore_never_leaves_its_folder(run, name):
    with pytest.raises(FileNotFoundError):
        run.restore(name)


def test_a_snapshot_that_is_not_whole_is_passed_over_for_an_older_one(run, capsys):
    for data in (b"first", b"second"):
        write("ck", data)
        run.save("ck")
    newest = records(run)[-1]
    os.truncate(os.path.join(run._keeper.attached.directory, "blobs", newest["blob"]), 2)
    with run.restore("ck") as file:
        assert file.read() == b"first"
    assert "is incomplete; an older version is used" in capsys.readouterr().err


def test_restore_without_a_run_says_what_to_do():
    with pytest.raises(respool.UsageError, match="Call init"):
        respool.restore("x")


def test_a_list_saves_each_of_its_paths(run):
    write("a")
    write("b")
    assert run.save(["a", "b"]) == ["a", "b"]
    assert names(run) == ["a", "b"]


def test_a_folder_that_cannot_be_made_does_not_keep_a_file_from_being_saved(monkeypatch, tmp_path, capsys):
    (tmp_path / "no-folder").write_bytes(b"")
    monkeypatch.setenv("RESPOOL_SPOOL_DIR", str(tmp_path / "spool"))
    run = respool.init(project="p", mode="spool", dir=str(tmp_path / "no-folder"))
    write("a")
    assert run.save("a") == ["a"]
    assert run.dir.startswith(str(tmp_path / "no-folder"))
    assert "cannot be made" in capsys.readouterr().err


def test_a_run_is_not_rewound_before_its_first_step(run, capsys):
    assert not run.rewind(-3)
    assert "rewind(-3) names no step of a history; nothing was done" in capsys.readouterr().err


@pytest.fixture
def ticking(monkeypatch):
    """The wall clock of the shim's upkeep, moved by the test."""
    now = [1_000_000.0]
    monkeypatch.setattr("respool.run_handle.time", lambda: now[0])
    monkeypatch.setattr("respool.run_files.time", lambda: now[0])
    return now


def kept(run):
    """What each version of the run's files holds, in order."""
    found = []
    for record in records(run):
        with open(os.path.join(run._keeper.attached.directory, "blobs", record["blob"]), "rb") as file:
            found.append((record["name"], file.read()))
    return found


def pass_time(run, ticking, seconds):
    for _ in range(seconds):
        ticking[0] += 1.1
        run.log({"a": 1})


def test_a_live_file_gets_a_further_version_when_it_has_settled_and_only_then(ticking, run):
    write("x", b"one")
    run.save("x", policy="live")
    pass_time(run, ticking, 5)
    assert kept(run) == [("x", b"one")]
    write("x", b"two, half")
    pass_time(run, ticking, 2)
    write("x", b"two, whole")
    pass_time(run, ticking, 2)
    assert kept(run) == [("x", b"one")]
    pass_time(run, ticking, 3)
    assert kept(run) == [("x", b"one"), ("x", b"two, whole")]


@pytest.mark.parametrize(("policy", "versions"), [("now", 1), ("end", 2), ("live", 2)])
def test_the_end_of_a_run_keeps_what_changed_as_the_policy_says(ticking, run, policy, versions):
    for name in ("x", "same"):
        write(name, b"one")
        run.save(name, policy=policy)
    write("x", b"at the end")
    os.chdir("/")
    pass_time(run, ticking, 1)
    assert len(kept(run)) == 2
    run.finish()
    found = [data for name, data in kept(run) if name == "x"]
    assert found == [b"one", b"at the end"][:versions]
    assert len(kept(run)) == 1 + versions


def test_what_an_error_may_have_left_half_written_is_no_version_at_the_end(run, capsys):
    for name in ("old", "torn"):
        write(name, b"one")
        run.save(name, policy="end")
    for name in ("old", "torn"):
        write(name, b"two")
    os.utime("old", (1, 1))
    run.finish(exit_code=1)
    assert kept(run) == [("old", b"one"), ("torn", b"one"), ("old", b"two")]
    assert "not kept again: torn" in capsys.readouterr().err


def test_a_live_file_that_goes_away_or_cannot_be_kept_disturbs_nothing(ticking, run, capsys):
    for name in ("gone", "folder"):
        write(name)
        run.save(name)
        os.remove(name)
    os.mkdir("folder")
    pass_time(run, ticking, 6)
    run.finish()
    assert len(records(run)) == 2
    assert capsys.readouterr().err.count("not a regular file") == 1


def test_a_copy_in_passing_is_followed_by_a_rest_and_many_files_take_turns():
    later = LaterVersions()
    for index in range(AT_ONCE + 6):
        write(f"f{index}", b"one")
        later.saved(f"f{index}", f"f{index}", "live", stamp_at(f"f{index}"))
        write(f"f{index}", b"two!")
    found, now = set(), 100.0
    for _ in range(400):
        now += 1.5
        one = later.due(now)
        if one is not None:
            found.add(one.name)
            later.saved(one.path, one.name, "live", stamp_at(one.path))
    assert len(found) == AT_ONCE + 6
    write("f0", b"three")
    later.took(1.0, now)
    assert [later.due(now + seconds) for seconds in (10, 20, 40)] == [None, None, None]
    assert [one and one.name for one in (later.due(now + 51 + 3 * turn) for turn in range(4))].count("f0")


def test_a_large_copy_says_what_it_cost_and_what_costs_nothing(run, monkeypatch, capsys):
    monkeypatch.setattr("respool.saving.LARGE", 10)
    monkeypatch.setattr("respool.saving.snapshot", lambda *_: (100, "copy"))
    write("x", b"x" * 100)
    run.save("x")
    run.save("x")
    said = capsys.readouterr().err
    assert said.count("copied") == 1
    assert "run.checkpoint(step)" in said
    monkeypatch.setattr("respool.saving.snapshot", lambda *_: (100, "reflink"))
    write("y", b"x" * 100)
    run.save("y")
    assert "copied" not in capsys.readouterr().err


def test_a_file_that_may_be_at_a_hub_that_is_away_is_not_said_to_be_none(daemon):
    run = respool.init(project="p", id="r")
    with pytest.raises(FileNotFoundError):
        run.restore("ck")
    daemon.hub_away = True
    with pytest.raises(respool.CommError, match=r"No file ck\. See `respool status`") as caught:
        run.restore("ck")
    assert not isinstance(caught.value, FileNotFoundError), "a script would begin anew"


def test_a_daemon_that_watches_a_file_makes_versions_of_it_by_the_trainers_own_record(ticking, daemon):
    run = respool.init(project="p", id="r")
    write("x", b"one")
    write("now", b"one")
    run.save("x", policy="live")
    run.save("now", policy="now")
    (wish,) = daemon.of(Watch)
    assert (wish.name, wish.path) == ("x", os.path.abspath("x"))
    assert wish.stamp == list(stamp_at("x"))
    first = records(run)[0]["blob"]
    assert wish.token == first
    daemon.tell(Watched(["x", "unknown"]))
    write("x", b"two!")
    pass_time(run, ticking, 8)
    assert names(run) == ["x", "now"], "the daemon copies it, not a call of the script"
    file = {"size": 4, "mtime": 1.5, "how": "reflink"}
    daemon.tell(Changed("x", first, "later", list(stamp_at("x")), file))
    until(lambda: pass_time(run, ticking, 1) or len(records(run)) == 3)
    assert records(run)[2] == {**file, "name": "x", "blob": "later", "policy": "live"}
    daemon.tell(Changed("x", first, "stale", list(stamp_at("x")), file))
    daemon.tell(Changed("now", records(run)[1]["blob"], "never", list(stamp_at("now")), file))
    daemon.tell(Changed("other", "", "never", [1, 2, 3], file))
    pass_time(run, ticking, 8)
    run.finish()
    assert len(records(run)) == 3, "nothing that is old, unasked for, or there already"


def test_a_daemon_that_never_takes_it_leaves_it_to_the_script_and_one_that_came_back_is_told_again(
    ticking, daemon
):
    run = respool.init(project="p", id="r")
    write("log", b"one")
    run.save("log", policy="live")
    daemon.tell(Watched(["log"]))
    pass_time(run, ticking, 1)
    write("log", b"one, two")
    pass_time(run, ticking, int(QUIET_SECONDS) - 2)
    assert len(records(run)) == 1
    pass_time(run, ticking, 5)
    assert len(records(run)) == 2
    daemon.die()
    daemon.start()
    until(lambda: pass_time(run, ticking, 1) or len(daemon.of(Watch)) == 3)
    assert daemon.of(Watch)[-1].token == records(run)[-1]["blob"]
    write("log", b"three")
    pass_time(run, ticking, 5)
    assert len(records(run)) == 3, "it has not said that it watches anything"
    run.save("log", policy="now")
    until(lambda: pass_time(run, ticking, 1) or not daemon.of(Watch)[-1].path)
    run.finish()


def test_a_live_file_whose_name_is_no_text_is_left_to_the_script(ticking, daemon):
    run = respool.init(project="p", id="r", settings={"strict": True})
    name = os.fsdecode(b"\xff.pt")
    write(name, b"one")
    assert run.save(name, policy="live") == [name]
    write(name, b"two!")
    pass_time(run, ticking, 6)
    daemon.die()
    daemon.start()
    until(lambda: pass_time(run, ticking, 1) or daemon.of(Reattach))
    pass_time(run, ticking, 2)
    assert names(run) == ["\\udcff.pt"] * 2
    assert daemon.of(Watch) == []
