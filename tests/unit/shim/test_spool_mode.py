"""A run with no daemon at all: the same files, made by the shim itself, and resumed from."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from types import SimpleNamespace

import pytest

import respool
from fakes.daemon import frames_in
from respool.wire import codec
from respool.wire.attempt import parse_attempt_file, parse_request
from respool.wire.frames import EXPLICIT_STEP, Kind
from respool.wire.segment import decode_header


def begin(**options):
    return respool.init(project="p", mode="spool", **{"id": "r", **options})


def attempts(spool):
    """Attempt folders in the order of their making."""
    files = []
    for name in os.listdir(spool):
        with open(os.path.join(spool, name, "attempt.json")) as file:
            found = json.load(file)
        files.append((found["request"]["started_at"], os.path.join(spool, name), found))
    return [(directory, found) for _, directory, found in sorted(files)]


def rows(directory):
    return [
        (frame.step, codec.unpack(frame.payload)) for frame in frames_in(directory) if frame.kind == Kind.ROW
    ]


def crash():
    """Let go of the run as a killed process would: no record of an end, and the process counts as gone."""
    from respool import current

    run = respool.run
    run._state, run._off = "forked", True
    run._writer.close()
    run.hooks.remove()
    current.leave(run)
    path = os.path.join(run._keeper.attached.directory, "attempt.json")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace('"boot_id": "', '"boot_id": "before-'))


def test_the_folder_is_private_self_contained_and_readable_by_the_daemons_code(spool):
    run = begin(config={"lr": 0.1})
    run.log({"loss": 1.0})
    ((directory, found),) = attempts(spool)
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(spool).st_mode) == 0o700
    file = parse_attempt_file(found, "attempt.json")
    request = parse_request(file.request)
    assert (file.attempt_id, file.offline, file.uid) == (os.path.basename(directory), True, os.getuid())
    assert (request.project, request.run_id, request.pid) == ("p", "r", os.getpid())
    with open(os.path.join(directory, "w0-000000.seg"), "rb") as segment:
        header = decode_header(segment.read(4096), "w0-000000.seg")
    assert (header.attempt_id, header.writer, header.segment) == (file.attempt_id, 0, 0)
    assert rows(directory) == [(0, {"loss": 1.0})]


def test_the_spool_is_registered_for_the_users_own_daemon(spool, tmp_path):
    begin()
    folder = tmp_path / "state" / "respool" / "spools"
    (entry,) = folder.iterdir()
    assert entry.read_text() == os.path.realpath(spool)


def test_a_home_that_cannot_be_written_is_no_matter(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nothing")
    begin().log({"a": 1})


def test_the_spool_goes_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("RESPOOL_SPOOL_DIR", str(tmp_path / "elsewhere"))
    begin()
    assert len(os.listdir(tmp_path / "elsewhere")) == 1


def test_a_spool_that_cannot_be_is_an_error_with_advice(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        respool.UsageError, match=r"cannot be written: Not a directory\. Set RESPOOL_SPOOL_DIR"
    ):
        begin(dir=tmp_path / "file")
    assert respool.run is None


def test_a_full_disk_at_the_start_costs_the_data_not_the_training(monkeypatch, capsys):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("respool.local_spool.LocalSpool.create", full)
    run = begin()
    run.log({"a": 1})
    run.finish()
    assert "nothing of this run is kept" in capsys.readouterr().err


def test_many_segments_are_one_contiguous_sequence(monkeypatch, spool):
    monkeypatch.setattr("respool.local_spool.SEGMENT_SIZE", 256 << 10)
    run = begin()
    for number in range(100):
        run.log({"n": number, "x": "x" * 20_000})
    ((directory, _),) = attempts(spool)
    assert [row["n"] for _, row in rows(directory)] == list(range(100))
    frames = frames_in(directory)
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert len([name for name in os.listdir(directory) if name.endswith(".seg")]) > 8


def test_a_resumed_run_has_step_config_and_summary_at_once(spool):
    run = begin(config={"lr": 0.1, "seed": 1}, tags=["old"], name="nice")
    for number in range(5):
        run.log({"loss": number / 2})
    run.summary["best"] = 9
    crash()
    run = begin(resume="allow", config={"lr": 0.2})
    assert (run.resumed, run.step, run.starting_step) == (True, 5, 5)
    assert dict(run.config) == {"lr": 0.2, "seed": 1}
    assert dict(run.summary) == {"loss": 2.0, "best": 9}
    assert (run.tags, run.name) == (("old",), "nice")
    first, second = attempts(spool)
    assert second[1]["parent"] == os.path.basename(first[0])
    assert (second[1]["step"], second[1]["resumed"]) == (5, True)


def test_a_resume_after_many_segments_reads_the_last_and_the_first(monkeypatch):
    monkeypatch.setattr("respool.local_spool.SEGMENT_SIZE", 256 << 10)
    run = begin(config={"lr": 0.1})
    for number in range(60):
        run.log({"n": number, "x": "x" * 20_000})
    crash()
    run = begin(resume="must")
    assert (run.step, run.config["lr"], run.summary["n"]) == (60, 0.1, 59)


def test_rewound_steps_do_not_count_after_the_next_crash():
    run = begin()
    run.log({"a": 1}, step=1234)
    crash()
    run = begin(resume="allow")
    assert run.step == 1235
    for step in range(1001, 1010):
        run.log({"a": 2}, step=step)
    crash()
    assert begin(resume="allow").step == 1010


def test_a_late_row_first_does_not_cut():
    run = begin()
    run.log({"a": 1}, step=100)
    crash()
    run = begin(resume="allow")
    run.log({"a": 2}, step=50)
    run.log({"a": 2}, step=101)
    crash()
    assert begin(resume="allow").step == 102


def test_an_explicit_rewind_sets_the_step():
    run = begin()
    run.log({"a": 1}, step=100)
    crash()
    begin(resume="allow").rewind(40)
    crash()
    assert begin(resume="allow").step == 40


def test_an_attempt_that_logged_nothing_moves_nothing(spool):
    begin().log({"a": 1}, step=7)
    crash()
    begin()
    crash()
    run = begin(resume="allow")
    assert run.step == 8
    first, _, third = attempts(spool)
    assert third[1]["parent"] == os.path.basename(first[0])


def test_without_resume_the_run_is_started_over_and_the_line_says_how_to_join(spool, capsys):
    begin().log({"a": 1}, step=7)
    crash()
    run = begin()
    assert (run.resumed, run.step) == (False, 0)
    assert attempts(spool)[1][1]["parent"] is None
    assert "up to step 7) stays as a branch. Pass resume='allow'" in capsys.readouterr().err


def test_must_needs_a_run_that_the_spool_knows(monkeypatch):
    with pytest.raises(
        respool.UsageError, match=r"Run p/r is not in the spool .* resume='must' needs it. Use"
    ):
        begin(resume="must")
    monkeypatch.setenv("RESPOOL_OFFLINE_MUST", "trust")
    run = begin(resume="must")
    assert (run.resumed, run.resumed_unknown, run.step) == (False, True, 0)


def test_never_refuses_a_run_that_the_spool_knows():
    begin(resume="never").finish()
    with pytest.raises(respool.UsageError, match=r"exists in the spool .* \(finished\), but resume='never'"):
        begin(resume="never")


def test_another_spelling_of_the_same_id_is_an_error_naming_both():
    begin(id="a.b").finish()
    with pytest.raises(respool.UsageError, match=r"begun as 'a\.b', this is 'a b'"):
        begin(id="a b", resume="allow")


def test_an_unknown_run_is_created_and_says_that_nobody_knew(spool):
    assert not begin(resume="allow").resumed
    assert attempts(spool)[0][1]["parent_known"] is False


def test_a_run_that_lives_in_another_process_is_not_taken(spool):
    ready, started = os.pipe()
    gone, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        begin().log({"a": 1})
        os.write(started, b"x")
        os.read(gone, 1)
        os._exit(0)
    try:
        os.read(ready, 1)
        with pytest.raises(respool.UsageError, match=f"alive on .*, process {pid}, which last wrote"):
            begin(resume="allow")
    finally:
        for fd in (end, gone, ready, started):
            os.close(fd)
        os.waitpid(pid, 0)
    assert begin(resume="allow").step == 1


def test_a_damaged_attempt_file_is_passed_over_with_a_warning(spool, capsys):
    os.makedirs(os.path.join(spool, "broken"))
    with open(os.path.join(spool, "broken", "attempt.json"), "w") as file:
        file.write("{")
    begin(resume="allow")
    assert "cannot be used and is passed over" in capsys.readouterr().err


def test_a_torn_tail_is_where_the_resume_begins(spool):
    run = begin()
    for number in range(3):
        run.log({"n": number})
    crash()
    directory, _ = attempts(spool)[0]
    path = os.path.join(directory, "w0-000000.seg")
    last = frames_in(directory)[-1]
    with open(path, "r+b") as file:
        data = file.read()
        at = data.index(last.payload)
        file.seek(at)
        file.write(b"\0" * len(last.payload))
    assert begin(resume="allow").step == 2


def test_steps_follow_wandb():
    run = begin()
    run.log({"a": 1})
    assert run.step == 1
    run.log({"a": 1}, commit=False)
    assert run.step == 1
    run.log({"a": 1}, step=5)
    assert run.step == 5
    run.log({"b": 1})
    assert run.step == 6
    run.log({"a": 1}, step=3)
    assert run.step == 6
    run.log({"a": 1}, step=7, commit=True)
    assert run.step == 8
    frames = [f for f in frames_in(run._keeper.attached.directory) if f.kind == Kind.ROW]
    assert [frame.step for frame in frames] == [0, 1, 5, 5, 3, 7]
    assert [frame.flags == EXPLICIT_STEP for frame in frames] == [False, False, True, False, True, True]


def test_rows_hold_whatever_a_script_logs(capsys):
    import numpy as np

    class Odd:
        def __repr__(self):
            return "<odd>"

    run = begin()
    run.log(
        {"f": np.float32(0.5), "one": np.array([2]), "nan": float("nan"), "inf": float("-inf"), "none": None}
    )
    run.log({"nested": {"a": {"b": 1}}, "bytes": b"\0", "big": 1 << 70, "array": np.arange(3), "odd": Odd()})
    run.log({"odd": Odd(), 3: "key", "surrogate": "\udc80"})
    (_, first), (_, second), (_, third) = rows(run._keeper.attached.directory)
    assert (first["f"], first["one"], first["inf"], first["none"]) == (0.5, 2, float("-inf"), None)
    assert first["nan"] != first["nan"]
    assert second == {
        "nested": {"a": {"b": 1}}, "bytes": b"\0", "big": str(1 << 70), "array": [0, 1, 2], "odd": "<odd>"
    }  # fmt: skip
    assert third["3"] == "key"
    assert third["surrogate"] == "\\udc80"
    assert capsys.readouterr().err.count("type Odd cannot be kept") == 1


def test_what_is_no_row_is_ignored_with_one_warning(capsys):
    run = begin()
    for odd in (None, 3, [1], "loss"):
        run.log(odd)
    run.log({"a": 1}, step="x")
    assert run.step == 1
    text = capsys.readouterr().err
    assert text.count("takes a dict") == 1
    assert text.count("is no integer; step 0 is used") == 1


def test_strict_raises_for_what_is_no_row():
    run = begin(settings=respool.Settings(strict=True))
    with pytest.raises(respool.UsageError, match="takes a dict of values, not int"):
        run.log(3)


def test_a_name_that_is_too_long_is_cut(capsys):
    run = begin()
    run.log({"k" * 2000: 1})
    ((_, row),) = rows(run._keeper.attached.directory)
    assert list(row) == ["k" * 1024]
    assert "has 2000 characters, more than 1024; the rest is cut off" in capsys.readouterr().err


def test_config_summary_and_meta_changes_are_records():
    run = begin(config={"lr": 1})
    run.config.seed = 3
    run.config.update({"lr": 2}, allow_val_change=True)
    del run.config["seed"]
    run.summary["best"] = 1
    run.summary.update({"worst": 2})
    del run.summary["worst"]
    run.name, run.tags, run.notes = "n", ("t",), "text"
    run.define_metric("loss", summary="min", step_metric="epoch")
    directory = run._keeper.attached.directory
    got = [(f.kind, codec.unpack(f.payload)) for f in frames_in(directory)][1:]
    assert [value for kind, value in got if kind == Kind.CONFIG] == [
        {"set": {"lr": 1}, "unset": []},
        {"set": {"seed": 3}, "unset": []},
        {"set": {"lr": 2}, "unset": []},
        {"set": {}, "unset": ["seed"]},
    ]
    assert [value for kind, value in got if kind == Kind.SUMMARY] == [
        {"set": {"best": 1}, "unset": []},
        {"set": {"worst": 2}, "unset": []},
        {"set": {}, "unset": ["worst"]},
    ]
    assert [value for kind, value in got if kind == Kind.META] == [
        {"name": "n"}, {"tags": ["t"]}, {"notes": "text"},
        {"metrics": {"loss": {"summary": "min", "step_metric": "epoch"}}},
    ]  # fmt: skip


def test_a_defined_minimum_survives_rows_and_a_resume():
    run = begin()
    run.define_metric("loss", summary="min")
    for value in (3.0, 1.0, 2.0):
        run.log({"loss": value})
    assert run.summary["loss"] == 1.0
    crash()
    run = begin(resume="allow")
    run.log({"loss": 5.0})
    assert run.summary["loss"] == 1.0


def test_a_config_value_that_changes_is_warned_of_or_refused_in_strict_mode(capsys):
    run = begin(config={"lr": 1})
    run.config.update({"lr": 2})
    assert run.config.lr == 2
    assert "config 'lr' changes from 1 to 2" in capsys.readouterr().err
    run.finish()
    run = begin(id="s", config={"lr": 1}, settings={"strict": True})
    with pytest.raises(respool.UsageError, match="allow_val_change=True"):
        run.config.lr = 2


def test_threads_that_log_while_the_run_finishes_are_dropped_quietly(capsys):
    run = begin()
    stop = threading.Event()

    def work():
        while not stop.is_set():
            run.log({"a": 1})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    run.finish()
    stop.set()
    for thread in threads:
        thread.join()
    assert run._writer.lost == 0
    assert "being dropped, counted" not in capsys.readouterr().err


def test_wandbs_argument_order_is_ours():
    run = begin(config={"lr": 1})
    run.config.update({"lr": 2}, True)
    run.define_metric("loss", "epoch", True, None, "max", "maximize", False)
    assert run._metrics == {"loss": {"summary": "max", "step_metric": "epoch"}}


def test_a_namespace_is_a_config():
    import argparse

    run = begin(config=argparse.Namespace(lr=1))
    assert run.config["lr"] == 1
    run.config.setdefaults({"lr": 5, "wd": 0})
    assert dict(run.config) == {"lr": 1, "wd": 0}


def test_flush_makes_it_durable_but_is_not_the_hub():
    run = begin()
    run.log({"a": 1})
    assert run.flush() is False
    assert run.flush(hub=False) is True


def test_a_finished_run_drops_rows_with_one_warning(capsys, spool):
    run = begin()
    run.finish()
    run.log({"a": 1})
    run.log({"a": 1})
    run.finish()
    assert capsys.readouterr().err.count("is finished, and log() is dropped") == 1
    assert rows(attempts(spool)[0][0]) == []


def test_disabled_keeps_nothing_and_works():
    run = respool.init(project="p", mode="disabled", config={"a": 1})
    run.log({"a": 1})
    assert run.save("x") is False
    assert run.flush() is False
    run.mark_preempting()
    run.config.b = 2
    run.finish()
    assert not os.path.exists("respool")
    assert respool.run is None


def test_init_twice_is_the_same_run_unless_reinit(capsys):
    first = begin()
    assert begin(id="other") is first
    assert "is going on and is what init() returns" in capsys.readouterr().err
    second = begin(id="other", reinit=True)
    assert second.id == "other"
    assert respool.run is second


@pytest.mark.parametrize("reinit", [None, False, "default", "return_previous"])
def test_the_run_that_is_going_on_is_returned(reinit):
    first = begin()
    assert begin(id="other", reinit=reinit) is first


class Shell:
    """What get_ipython() gives: in a terminal it has no kernel."""

    def __init__(self, **traits):
        self.__dict__.update(traits)


@pytest.mark.parametrize(
    ("shell", "reinit", "ends"),
    [
        (Shell(kernel="a kernel"), None, True),
        (Shell(kernel="a kernel"), "default", True),
        (Shell(kernel="a kernel"), "return_previous", False),
        (Shell(kernel="a kernel"), False, False),
        (Shell(), None, False),
        (None, None, False),
    ],
)
def test_a_notebooks_cell_that_is_run_again_begins_a_new_run(monkeypatch, shell, reinit, ends):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    first = begin()
    second = begin(id="other", reinit=reinit)
    assert (second is not first, first.id != respool.run.id) == (ends, ends)
    assert repr(first).endswith("(finished)>") == ends


@pytest.mark.parametrize("how", [{"reinit": "finish_previous"}, {"settings": {"reinit": True}}])
def test_the_run_that_is_going_on_is_finished_first(how):
    first = begin()
    second = begin(id="other", **how)
    assert respool.run is second
    assert "finished" in repr(first)


def test_create_new_leaves_the_runs_that_are_going_on_and_the_module_alone():
    alone = begin(id="alone", reinit="create_new")
    assert respool.run is None
    first = begin(id="first")
    second = begin(id="second", reinit="create_new")
    respool.log({"x": 1})
    second.log({"x": 2}, step=5)
    assert (respool.run, first.last_step, second.last_step, alone.last_step) == (first, 0, 5, None)
    first.finish()
    assert respool.run is None
    second.log({"x": 3})
    for run in (alone, second):
        run.finish()


def test_another_reinit_is_an_error_that_lists_what_is_possible():
    with pytest.raises(respool.UsageError, match="'create_new'"):
        begin(reinit="again")


def test_with_records_the_exit_code_of_its_body(spool):
    with pytest.raises(ZeroDivisionError), begin():
        raise ZeroDivisionError
    with pytest.raises(SystemExit), begin(id="s"):
        raise SystemExit(7)
    ends = [codec.unpack(frames_in(directory)[-1].payload)["exit_code"] for directory, _ in attempts(spool)]
    assert ends == [1, 7]


def test_silent_prints_nothing_but_losses(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = begin()
    run.log(3)
    run.finish()
    assert capsys.readouterr().err == ""


def test_a_closed_standard_error_reaches_nobody(monkeypatch):
    import io

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    run = begin()
    run.log(3)
    monkeypatch.setattr("sys.stderr", None)
    run.log([])
    run.finish()


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({b"k": 1}, {"k": 1}),
        ({3: 1}, {"3": 1}),
        ({(0, 1): 1}, {"(0, 1)": 1}),
        ({"conf": {(0, 1): 3}}, {"conf": {"(0, 1)": 3}}),
        ({"list": [1, ({b"k": {2: 0}},)]}, {"list": [1, [{"k": {"2": 0}}]]}),
    ],
)
def test_keys_of_any_type_at_any_depth_are_written_as_text(spool, row, kept):
    run = begin()
    run.log(row)
    ((directory, _),) = attempts(spool)
    (frame,) = [frame for frame in frames_in(directory) if frame.kind == Kind.ROW]
    assert frame.payload == codec.pack(kept)
    run.config.update({"deep": row})
    assert codec.unpack(frames_in(directory)[-1].payload)["set"] == {"deep": kept}


def test_keys_that_an_earlier_release_wrote_as_they_came_are_read_as_text():
    payload = codec.pack({b"a": 1, 3: {(0, b"x"): 2}, "list": [{b"k": 1}]})
    assert codec.unpack(payload) == {"a": 1, "3": {"(0, b'x')": 2}, "list": [{"k": 1}]}


def test_reserved_names_are_warned_of_once_and_kept(spool, capsys):
    run = begin()
    run.log({"_step": 1, "x": 2})
    run.log({"_runtime": 1})
    assert capsys.readouterr().err.count("which respool itself sets") == 1
    ((directory, _),) = attempts(spool)
    assert rows(directory) == [(0, {"_step": 1, "x": 2}), (1, {"_runtime": 1})]


def test_a_step_that_is_no_integer_or_has_no_successor_is_not_used(spool, capsys):
    run = begin()
    run.log({"x": 1}, step=5.7)
    run.log({"x": 2}, step=(1 << 63) - 1)
    run.log({"x": 3}, step=5.0)
    assert "no integer" in capsys.readouterr().err
    ((directory, _),) = attempts(spool)
    assert [step for step, _ in rows(directory)] == [0, 1, 5]


def test_a_trainer_that_names_no_step_goes_on_behind_the_last_row_whatever_it_repeats(capsys):
    run = begin()
    for number in range(100):
        run.log({"trainer/global_step": number})
    crash()
    for first, step in ((60, 100), (50, 140)):
        run = begin(resume="allow")
        assert run.step == step
        for number in range(first, 100):
            run.log({"trainer/global_step": number})
        crash()
        assert f"continues at trainer/global_step {first}: what it had" in capsys.readouterr().err
    assert begin(resume="allow").step == 190
