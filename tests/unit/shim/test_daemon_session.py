"""A run with a daemon: attach, write, roll, lose the daemon, find it again."""

from __future__ import annotations

import itertools
import os
import threading
import time

import pytest

import respool
from fakes.daemon import frames_in
from respool import restoring
from respool.wire import codec
from respool.wire.frames import Kind
from respool.wire.identity import FIRST_JOINED, attempt_id_of
from respool.wire.messages import (
    Attach,
    Flush,
    Notice,
    Reattach,
    Refused,
    Ring,
    Rolled,
    StatusRequest,
    Waiting,
)
from unit.shim.waits import until


def rows(daemon, attempt_id=None):
    return [codec.unpack(frame.payload) for frame in daemon.frames(attempt_id) if frame.kind == Kind.ROW]


def turn(run):
    """One look at the socket, as log() does once a second."""
    run._upkeep(time.time())


def test_rows_are_in_the_daemons_segment_when_log_returns(daemon):
    run = respool.init(project="p", id="r")
    run.log({"loss": 0.5})
    assert rows(daemon) == [{"loss": 0.5}]
    run.log({"loss": 0.25})
    assert rows(daemon) == [{"loss": 0.5}, {"loss": 0.25}]


def test_first_frame_is_a_snapshot_then_the_config_that_was_passed(daemon):
    daemon.answer = {"config": {"lr": 1}, "summary": {"best": 2}, "resumed": True, "step": 7}
    respool.init(project="p", id="r", resume="allow", config={"lr": 3, "seed": 4}, name="nice")
    first, second = daemon.frames()
    assert first.kind == Kind.SNAPSHOT
    assert codec.unpack(first.payload) == {
        "config": {"lr": 1}, "summary": {"best": 2}, "meta": {"name": "nice"}, "last_step": None
    }  # fmt: skip
    assert second.kind == Kind.CONFIG
    assert codec.unpack(second.payload) == {"set": {"lr": 3, "seed": 4}, "unset": []}


def test_what_the_daemon_answered_is_there_at_once(daemon):
    daemon.answer = {
        "step": 41,
        "resumed": True,
        "config": {"a": 1},
        "summary": {"b": 2},
        "entity": "me",
        "url": "u",
    }
    run = respool.init(project="p", id="r", resume="must")
    assert (run.step, run.starting_step, run.resumed) == (41, 41, True)
    assert (dict(run.config), dict(run.summary), run.path, run.url) == ({"a": 1}, {"b": 2}, "me/p/r", "u")


def test_the_request_says_who_asks_for_what(daemon):
    respool.init(project="p", id="my run", resume=True, entity="e", tags=["t"], takeover=True)
    request = daemon.of(Attach)[0].request
    assert (request["run_id"], request["original_id"], request["resume"]) == ("my-run", "my run", "allow")
    assert (request["entity"], request["takeover"], request["meta"]) == ("e", True, {"tags": ["t"]})
    assert request["pid"] == os.getpid()
    assert request["launch"].startswith("own:")
    assert request["fixed_id"]


@pytest.mark.parametrize("code", ["exists", "missing", "live", "forbidden", "conflict"])
def test_a_refusal_is_raised_with_cause_and_advice(daemon, code):
    daemon.refuse = Refused(code, "Run p/r is so.", "Use another id.")
    with pytest.raises(respool.UsageError, match=r"Run p/r is so\. Use another id."):
        respool.init(project="p", id="r", resume="must")
    assert respool.run is None


def test_a_daemon_without_room_leaves_the_run_to_the_local_spool(daemon, spool, capsys):
    daemon.refuse = Refused("quota", "The disk is full.", "Free space.")
    run = respool.init(project="p", id="r")
    run.log({"a": 1})
    assert len(os.listdir(spool)) == 1
    assert "The disk is full." in capsys.readouterr().err


def test_a_daemon_that_hangs_is_gone_without(daemon, spool, capsys, monkeypatch):
    monkeypatch.setattr("respool.attaching.GREETING_SECONDS", 0.05)
    daemon.silent = True
    respool.init(project="p", id="r").log({"a": 1})
    assert os.listdir(spool)
    assert "does not answer" in capsys.readouterr().err


def test_no_daemon_means_the_local_spool_and_a_line_that_says_where(spool, capsys):
    respool.init(project="p", id="r")
    text = capsys.readouterr().err
    assert f"without a daemon: rows are kept in {spool}; `respool sync" in text


def test_what_an_attach_waits_for_is_shown(daemon, capsys):
    daemon.waiting = Waiting("the old process still beats", 3.0)
    respool.init(project="p", id="r")
    assert "The old process still beats. Waiting up to 3 s" in capsys.readouterr().err


def test_a_full_segment_is_left_for_the_spare_and_nothing_is_lost(daemon):
    run = respool.init(project="p", id="r")
    payload = "x" * 60_000
    for number in range(50):
        until(lambda: turn(run) or run._keeper.tether._spare is not None)
        run.log({"n": number, "x": payload})
    until(lambda: len(daemon.of(Rolled)) > 2)
    assert [row["n"] for row in rows(daemon)] == list(range(50))
    frames = daemon.frames()
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    snapshots = [codec.unpack(frame.payload) for frame in frames if frame.kind == Kind.SNAPSHOT]
    assert len(snapshots) >= 3
    assert snapshots[1]["summary"]["x"] == payload
    assert snapshots[1]["last_step"] == snapshots[1]["summary"]["n"]


def test_without_a_spare_the_trainer_goes_on_in_the_same_file(daemon):
    daemon.late = True
    run = respool.init(project="p", id="r")
    for number in range(60):
        run.log({"n": number, "x": "x" * 60_000})
    assert [row["n"] for row in rows(daemon)] == list(range(60))
    assert os.path.getsize(os.path.join(daemon.directory(), "w0-000001.seg")) > daemon.capacity
    daemon.spare(2)
    turn(run)
    until(lambda: turn(run) or run._keeper.tether._spare is not None)
    run.log({"n": 60})
    assert run._writer.segment == 2
    assert [row["n"] for row in rows(daemon)] == list(range(61))


def test_a_used_up_quota_drops_rows_by_count_and_says_so(daemon, capsys):
    daemon.full = True
    run = respool.init(project="p", id="r")
    for number in range(60):
        run.log({"n": number, "x": "x" * 60_000})
        if run._writer.segment == 1:
            until(lambda: turn(run) or run._keeper.tether.full)
    assert run._writer.lost > 20
    run.finish()
    view = daemon.view()
    assert view.lost + view.rows == 60
    assert view.state == "ended"
    frames = daemon.frames()
    for before, after in itertools.pairwise(frames):
        assert after.seq == before.next_seq
    assert "quota for rows is used up" in capsys.readouterr().err


def test_room_after_a_full_quota_ends_the_losses(daemon):
    daemon.full = True
    run = respool.init(project="p", id="r")
    for number in range(50):
        run.log({"n": number, "x": "x" * 60_000})
        if run._writer.segment == 1:
            until(lambda: turn(run) or run._keeper.tether.full)
    lost = run._writer.lost
    assert lost
    daemon.full = False
    daemon.spare(2)
    until(lambda: turn(run) or run._keeper.tether._spare is not None)
    run.log({"n": 50})
    assert run._writer.lost == lost
    assert rows(daemon)[-1] == {"n": 50}
    assert daemon.view().lost == lost


def test_a_segment_whose_disk_failed_is_left_at_once(daemon):
    run = respool.init(project="p", id="r")
    run.log({"n": 0})
    daemon.spare(1, roll=True)
    until(lambda: turn(run) or run._writer.segment == 1)
    run.log({"n": 1})
    assert [row["n"] for row in rows(daemon)] == [0, 1]
    until(lambda: turn(run) or daemon.of(Rolled))


def test_a_dead_daemon_is_not_noticed_and_found_again(daemon, monkeypatch):
    monkeypatch.setattr("respool.tether._PAUSES", (0.0,))
    run = respool.init(project="p", id="r")
    run.log({"n": 0})
    daemon.die()
    run.log({"n": 1})
    turn(run)
    turn(run)
    run.log({"n": 2})
    daemon.start()
    until(lambda: turn(run) or daemon.of(Reattach))
    assert daemon.of(Reattach)[0].segment == 0
    until(lambda: turn(run) or run._keeper.tether.attached)
    run.log({"n": 3})
    assert [row["n"] for row in rows(daemon)] == [0, 1, 2, 3]
    assert run.flush()


def test_a_segment_that_fills_while_the_daemon_is_dead_loses_nothing(daemon, monkeypatch):
    monkeypatch.setattr("respool.tether._PAUSES", (0.0,))
    run = respool.init(project="p", id="r")
    daemon.die()
    for number in range(80):
        run.log({"n": number, "x": "x" * 60_000})
        turn(run)
    daemon.start()
    until(lambda: turn(run) or daemon.of(Reattach))
    assert daemon.of(Reattach)[0].segment == 1
    until(lambda: turn(run) or run._keeper.tether._spare is not None)
    run.log({"n": 80})
    assert run._writer.segment == 2
    assert [row["n"] for row in rows(daemon)] == list(range(81))


def test_a_daemon_that_forgot_the_attempt_does_not_stop_the_rows(daemon, monkeypatch, capsys):
    monkeypatch.setattr("respool.tether._PAUSES", (0.0,))
    run = respool.init(project="p", id="r")
    daemon.die()
    daemon.unknown = True
    daemon.start()
    until(lambda: turn(run) or daemon.of(Reattach))
    until(lambda: turn(run) or "No such attempt here." in capsys.readouterr().err)
    run.log({"n": 1})
    assert rows(daemon) == [{"n": 1}]


def test_the_doorbell_rings_at_most_once_a_second(daemon):
    run = respool.init(project="p", id="r")
    for _ in range(500):
        run.log({"a": 1})
    until(lambda: daemon.of(Ring))
    assert len(daemon.of(Ring)) <= 2


def test_a_clock_that_jumps_back_rings_all_the_same(daemon):
    run = respool.init(project="p", id="r")
    run.log({"a": 1})
    run._rung += 3600
    before = len(daemon.of(Ring))
    run.log({"a": 1})
    until(lambda: len(daemon.of(Ring)) > before)
    assert run._rung < time.time() + 1


def test_a_daemon_that_does_not_read_costs_nothing(daemon):
    run = respool.init(project="p", id="r")
    daemon.silent = True
    begin = time.monotonic()
    for number in range(2000):
        run.log({"n": number})
        turn(run)
    assert time.monotonic() - begin < 2.0
    daemon.silent = False
    assert len(rows(daemon)) == 2000


def test_superseded_is_told_and_the_rows_go_on(daemon, capsys):
    run = respool.init(project="p", id="r")
    daemon.tell(Notice("superseded", "Attempt 2 on node b took this run over."))
    until(lambda: turn(run) or run.superseded)
    run.log({"a": 1})
    assert rows(daemon) == [{"a": 1}]
    assert "took this run over" in capsys.readouterr().err


def test_superseded_stops_a_script_that_asked_for_it(daemon):
    run = respool.init(project="p", id="r", on_superseded="stop")
    daemon.tell(Notice("superseded", "Attempt 2 took this run over."))
    until(lambda: turn(run) or run.superseded)
    with pytest.raises(respool.Superseded):
        run.log({"a": 1})


def test_finish_ends_syncs_and_says_so(daemon, capsys):
    run = respool.init(project="p", id="r")
    run.log({"a": 1})
    run.finish()
    assert codec.unpack(daemon.frames()[-1].payload) == {"state": "ended", "exit_code": 0, "reason": "finish"}
    assert daemon.of(Flush) == [Flush(hub=False)]
    assert any(ring.urgent for ring in daemon.of(Ring))
    assert "finished after step 0 · synced in the spool" in capsys.readouterr().err
    assert respool.run is None


def test_where_no_daemon_will_outlive_the_process_finish_drains(daemon, capsys):
    daemon.answer = {"lasting": False}
    run = respool.init(project="p", id="r")
    run.finish()
    assert Flush(hub=True) in daemon.of(Flush)
    assert "at the hub" in capsys.readouterr().err


def test_flush_is_true_only_when_the_hub_has_it(daemon):
    run = respool.init(project="p", id="r")
    run.log({"a": 1})
    assert run.flush(5)
    daemon.at_hub = False
    assert not run.flush(5)
    assert run.flush(5, hub=False)


def test_flush_waits_for_a_daemon_that_comes_back(daemon):
    run = respool.init(project="p", id="r")
    run.log({"a": 1})
    daemon.die()
    assert run.flush(0.2) is False
    back = threading.Timer(0.3, daemon.start)
    back.start()
    assert run.flush(20)
    back.join()


def test_finish_does_not_wait_for_a_daemon_that_died(daemon):
    daemon.answer = {"lasting": False}
    run = respool.init(project="p", id="r")
    daemon.die()
    begin = time.monotonic()
    run.finish()
    assert time.monotonic() - begin < 2
    assert daemon.view().state == "ended"


def test_a_signal_handler_inside_a_request_gets_no_answer_instead_of_a_mess(daemon):
    run = respool.init(project="p", id="r")
    tether, seen = run._keeper.tether, []
    plain = tether._link.pump

    def interrupted():
        plain()
        if not seen:
            seen.append(None)
            seen.append(run.flush(5, hub=False))
            run.log({"a": 1})

    tether._link.pump = interrupted
    assert tether.ask(StatusRequest(), 5).message.status == {"daemon": "fake"}
    assert seen == [None, True]
    assert rows(daemon) == [{"a": 1}]


def test_status_is_the_daemons(daemon):
    run = respool.init(project="p", id="r")
    assert run.status() == {"daemon": "fake"}
    daemon.die()
    assert run.status()["daemon"] is None


def test_mark_preempting_is_recorded_and_rung_at_once(daemon):
    run = respool.init(project="p", id="r")
    run.mark_preempting()
    assert codec.unpack(daemon.frames()[-1].payload) == {"state": "preempting"}
    until(lambda: Ring(urgent=True) in daemon.of(Ring))


def test_rewind_before_the_first_row_is_a_cut(daemon):
    daemon.answer = {"step": 10, "resumed": True}
    run = respool.init(project="p", id="r", resume="allow")
    assert run.rewind(4)
    run.log({"a": 1})
    cut, row = daemon.frames()[-2:]
    assert (cut.kind, codec.unpack(cut.payload), row.step) == (Kind.CUT, {"step": 4}, 4)


def test_rewind_after_a_row_opens_a_further_attempt(daemon):
    run = respool.init(project="p", id="r", resume="allow")
    run.log({"a": 1}, step=9)
    assert run.rewind(5)
    run.log({"a": 2})
    first, second = daemon.attempts
    assert first != second
    assert daemon.view(first).state == "ended"
    assert [frame.step for frame in daemon.frames(second) if frame.kind == Kind.ROW] == [5]
    assert daemon.view(second).cut == 5
    assert daemon.of(Attach)[1].request["resume"] == "allow"
    assert run.attempt == 2


def test_save_is_a_snapshot_named_by_a_file_record(daemon):
    run = respool.init(project="p", id="r")
    with open("ck.bin", "wb") as file:
        file.write(b"x" * 200_000)
    run.log({"a": 1}, step=3)
    assert run.save("./ck.bin") == ["./ck.bin"]
    with open("ck.bin", "wb") as file:
        file.write(b"overwritten")
    frame = daemon.frames()[-1]
    record = codec.unpack(frame.payload)
    assert (frame.kind, frame.step, record["name"], record["size"]) == (Kind.FILE, 3, "ck.bin", 200_000)
    with open(os.path.join(daemon.directory(), "blobs", record["blob"]), "rb") as file:
        assert file.read() == b"x" * 200_000


def test_save_without_room_is_false_with_one_warning(daemon, capsys):
    run = respool.init(project="p", id="r")
    daemon.blobs_full = True
    with open("ck.bin", "wb") as file:
        file.write(b"x")
    assert run.save("ck.bin") is False
    assert run.save("ck.bin") is False
    assert capsys.readouterr().err.count("quota for files is used up") == 1
    assert [frame.kind for frame in daemon.frames()] == [Kind.SNAPSHOT]


def test_save_with_the_daemon_dead_goes_straight_into_its_folder(daemon):
    run = respool.init(project="p", id="r")
    daemon.die()
    with open("ck.bin", "wb") as file:
        file.write(b"bytes")
    assert run.save("ck.bin")
    record = codec.unpack(frames_in(daemon.directory())[-1].payload)
    with open(os.path.join(daemon.directory(), "blobs", record["blob"]), "rb") as file:
        assert file.read() == b"bytes"


def test_restore_brings_the_daemons_bytes_to_the_runs_folder(daemon):
    daemon.files["ck.bin"] = b"old bytes"
    run = respool.init(project="p", id="r")
    with run.restore("./ck.bin") as file:
        assert file.read() == b"old bytes"
        assert file.name == os.path.join(run.dir, "ck.bin")


def test_restore_of_what_is_not_there_says_so(daemon):
    run = respool.init(project="p", id="r")
    with pytest.raises(FileNotFoundError, match=r"No file ck.bin. `respool files p/r`"):
        run.restore("ck.bin")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "Run p/r has no file x. `respool files p/r` lists what there is."),
        ("'x' is not here", "'x' is not here. `respool files p/r` lists what there is."),
        (
            "There is no file x of run u/p/r. See respool files.",
            "There is no file x of run u/p/r. See respool files.",
        ),
    ],
)
def test_a_restore_that_the_hub_refused_has_its_advice_and_no_other(error, said):
    assert restoring._why_not(error, "x", "p/r") == said


def test_the_keeper_chooses_what_auto_continues_and_a_refused_choice_is_given_up_for_a_new_run(
    daemon, capsys
):
    daemon.refuse = Refused("live", "Run p/r is alive on b, process 7.", "Stop it.")
    with pytest.raises(respool.UsageError, match="alive on b"):
        respool.init(project="p", id="r", resume=True)
    daemon.refuse = None
    first = respool.init(project="p", resume=True)
    lost_id = first.id
    first.finish(1)
    _age(os.path.join("respool", "respool-resume.json"))
    seen = []
    plain = daemon._attach

    def live_once(request, reply):
        seen.append((request["resume"], request["remembered"]))
        if len(seen) == 1:
            reply(Refused("live", "Run is alive on b, process 7.", "Stop it."))
        else:
            plain(request, reply)

    daemon._attach = live_once
    second = respool.init(project="p", resume=True)
    assert seen == [("auto", lost_id), ("auto", "")]
    assert second.id != lost_id
    assert "A new run begins." in capsys.readouterr().err


def _age(path):
    """Make the process in the state file one that is gone."""
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace('"boot_id": "', '"boot_id": "old-'))


def test_the_request_says_which_job_launch_and_rank_it_is_and_what_may_be_continued(daemon, monkeypatch):
    environ = {"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "2", "RANK": "3", "WORLD_SIZE": "4"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    run = respool.init(project="p", resume=True)
    (attach,) = daemon.of(Attach)
    request = attach.request
    assert (request["identity"], request["restart_count"], request["rank"]) == ("slurm:12", 2, 3)
    assert request["launch"].startswith("slurm:12#2+master:")
    assert request["base"].startswith("slurm-12-")
    assert (request["resume"], request["remembered"], request["fixed_id"]) == ("auto", "", False)
    assert run.id == request["run_id"]


def test_two_calls_of_init_in_one_process_are_two_incarnations_of_one_launch(daemon):
    for _ in range(2):
        respool.init(project="p", id="r").finish()
    first, second = (attach.request for attach in daemon.of(Attach))
    assert first["incarnation"] != second["incarnation"]
    assert (first["launch"], first["rank"]) == (second["launch"], second["rank"])


def joined(daemon, monkeypatch, writer, **environ):
    daemon.answer = {"joined": True, "writer": writer, "step": 5, "resumed": True, "config": {"lr": 1}}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return respool.init(project="p", id="r", resume="allow", config={"lr": 2, "rank": writer})


def test_a_rank_that_joined_is_silent_and_does_not_record_the_config_again(daemon, monkeypatch, capsys):
    run = joined(daemon, monkeypatch, 1, RANK="1", WORLD_SIZE="2")
    run.log({"a": 1})
    assert (run.step, run.starting_step, run.resumed) == (6, 5, True)
    assert dict(run.config) == {"lr": 2, "rank": 1}
    assert [frame.kind for frame in daemon.frames()] == [Kind.SNAPSHOT, Kind.ROW]
    run.finish()
    assert daemon.view().state == "ended"
    assert capsys.readouterr().err == ""


def test_a_rank_that_joined_says_what_is_wrong(daemon, monkeypatch, capsys):
    run = joined(daemon, monkeypatch, 1, RANK="1", WORLD_SIZE="2")
    run.log(3)
    assert "log() takes a dict" in capsys.readouterr().err


def test_rank_0_records_its_config_though_another_was_first(daemon, monkeypatch, capsys):
    joined(daemon, monkeypatch, 0, RANK="0", WORLD_SIZE="2")
    assert Kind.CONFIG in [frame.kind for frame in daemon.frames()]
    assert "run p/r" in capsys.readouterr().err


def test_who_joined_without_a_rank_cannot_rewind(daemon, monkeypatch, capsys):
    run = joined(daemon, monkeypatch, FIRST_JOINED + 7)
    assert run.rewind(2) is False
    assert run.step == 5
    assert "cannot cut the history" in capsys.readouterr().err


def test_only_the_first_rank_writes_and_removes_the_state_file(daemon, monkeypatch):
    path = os.path.join("respool", "respool-resume.json")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    respool.init(project="p", resume=True).finish()
    assert not os.path.exists(path)
    monkeypatch.delenv("RESPOOL_LAUNCH_ID")
    monkeypatch.setenv("RANK", "0")
    first = respool.init(project="p", resume=True)
    assert os.path.exists(path)
    first.finish()
    assert not os.path.exists(path)


def test_a_daemon_that_took_the_request_and_is_silent_may_have_made_the_attempt_so_ours_is_another(
    daemon, monkeypatch
):
    monkeypatch.setattr("respool.attaching.HANDSHAKE_SECONDS", -4.9)
    monkeypatch.setattr(daemon, "_attach", lambda request, reply: None)
    run = respool.init(project="p", id="r", settings={"init_timeout": 0.1})
    (attach,) = daemon.of(Attach)
    assert run.attempt_id != attempt_id_of("p", "r", attach.request["launch"], 0)
    assert run.attempt_id == attempt_id_of("p", "r", attach.request["launch"] + "+alone", 0)
