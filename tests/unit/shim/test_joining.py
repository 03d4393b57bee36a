"""Without a daemon: who joins an attempt, who begins the next, who is refused. Real processes, one spool."""

from __future__ import annotations

import json
import os
import time

import pytest

from fakes.daemon import frames_in
from respool.spool_history import Earlier, attempts_of
from respool.spool_shown import Shown
from respool.wire import codec
from respool.wire.attempt import ATTEMPT_FILE, AttemptFile, Request, WriterFile
from respool.wire.frames import Kind
from respool.wire.identity import FIRST_JOINED
from respool.wire.segment import parse_segment_name
from respool.wire.view import View

SLURM = {"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "c", "ENVIRONMENT": "BATCH"}


def ranks(count, **more):
    sized = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_PORT": "29500"}
    return [{"RANK": str(rank), **sized, **more} for rank in range(count)]


def folders(spool):
    return sorted(name for name in os.listdir(spool) if not name.startswith("."))


@pytest.mark.parametrize("options", [{"id": "r"}, {"id": "r", "resume": "allow"}, {"resume": True}, {}])
def test_four_ranks_are_one_attempt_with_a_writer_each(start, spool, options):
    workers = [start(environ, config={"lr": 1}, **options) for environ in ranks(4, **SLURM)]
    said = [worker.answer() for worker in workers]
    assert [one["writer"] for one in said] == [0, 1, 2, 3]
    assert len({one["attempt"] for one in said}) == 1
    assert sum(not one["joined"] for one in said) == 1
    assert {one["step"] for one in said} == {0}
    (folder,) = folders(spool)
    names = [parse_segment_name(name) for name in os.listdir(os.path.join(spool, folder))]
    assert sorted(one for one in names if one) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    errors = [worker.end("finish") for worker in workers]
    assert "run p/" in errors[0]
    assert errors[1:] == ["", "", ""]
    (found,) = attempts_of([spool], "p", said[0]["id"], None)
    assert found.ended == {0, 1, 2, 3}
    assert not os.path.exists(os.path.join(os.path.dirname(spool), "respool-resume.json"))


def test_only_one_rank_records_the_config(start, spool):
    workers = [start(environ, id="r", config={"lr": 1}) for environ in ranks(3)]
    assert [worker.answer()["config"] for worker in workers] == [{"lr": 1}] * 3
    (folder,) = folders(spool)
    kinds = [frame.kind for frame in frames_in(os.path.join(spool, folder))]
    assert 1 <= kinds.count(Kind.CONFIG) <= 2


def test_ranks_of_a_next_life_join_what_its_first_one_resumed(start):
    workers = [start(environ, resume=True, log=3) for environ in ranks(2, **SLURM)]
    first = [worker.answer() for worker in workers]
    for worker in workers:
        worker.kill()
    again = [start(environ, resume=True) for environ in ranks(2, **SLURM, SLURM_RESTART_COUNT="1")]
    said = [worker.answer() for worker in again]
    assert {one["id"] for one in said} == {first[0]["id"]}
    assert [(one["step"], one["resumed"], one["writer"]) for one in said] == [(3, True, 0), (3, True, 1)]
    assert len({one["attempt"] for one in said} | {first[0]["attempt"]}) == 2


@pytest.mark.parametrize("options", [{"id": "r", "resume": "allow"}, {"resume": True}])
def test_a_restart_loop_in_one_job_is_several_attempts_of_one_run(start, spool, options):
    lives = []
    for _ in range(3):
        worker = start(SLURM, **options)
        lives.append(worker.answer())
        worker.kill()
    assert len({life["id"] for life in lives}) == 1
    assert [life["step"] for life in lives] == [0, 1, 2]
    assert len(folders(spool)) == 3
    found = attempts_of([spool], "p", lives[0]["id"], None)
    assert [one.file.generation for one in found] == [0, 1, 2]
    assert [one.file.parent for one in found[1:]] == [one.file.attempt_id for one in found[:2]]


def test_two_seeds_in_one_batch_job_are_two_runs_in_every_life_of_it(start):
    environ = SLURM | {"SLURM_PROCID": "0"}
    workers = [start(environ, resume=True) for _ in range(2)]
    first = {worker.answer()["id"] for worker in workers}
    assert len(first) == 2
    for worker in workers:
        worker.kill()
    again = [start(environ | {"SLURM_RESTART_COUNT": "1"}, resume=True).answer() for _ in range(2)]
    assert {one["id"] for one in again} == first
    assert [one["step"] for one in again] == [1, 1]


def test_a_finished_run_is_not_continued_and_the_next_seed_gets_the_next_name(start):
    first = start(SLURM, resume=True)
    name = first.answer()["id"]
    first.end("finish")
    second = start(SLURM, resume=True).answer()
    assert (second["id"], second["resumed"]) == (f"{name}-2", False)


def test_tasks_of_an_array_from_one_folder_share_nothing(start, spool):
    def task(index, life):
        number = {
            "SLURM_ARRAY_JOB_ID": "12",
            "SLURM_ARRAY_TASK_ID": str(index),
            "SLURM_JOB_ID": str(12 + index),
        }
        return SLURM | number | {"SLURM_RESTART_COUNT": str(life)}

    workers = [start(task(index, 0), resume=True) for index in range(3)]
    first = [worker.answer() for worker in workers]
    assert len({one["id"] for one in first}) == 3
    for worker in workers:
        worker.kill()
    again = [start(task(index, 1), resume=True).answer() for index in range(3)]
    assert [one["id"] for one in again] == [one["id"] for one in first]


def test_chained_jobs_with_new_ids_continue_through_the_state_file(start):
    first = start(SLURM, resume=True, log=4)
    name = first.answer()["id"]
    first.end()
    second = start(SLURM | {"SLURM_JOB_ID": "13"}, resume=True)
    said = second.answer()
    assert (said["id"], said["step"]) == (name, 4)
    second.end("finish")
    third = start(SLURM | {"SLURM_JOB_ID": "14"}, resume=True).answer()
    assert third["id"].startswith("slurm-14-")
    assert not third["resumed"]


def test_a_stranger_is_refused_with_node_pid_and_the_ways_out(start):
    first = start(id="r")
    first.answer()
    error = start(id="r", resume="allow").answer()["error"]
    assert f"alive on {os.uname().nodename}, process {first.pid}, which last wrote" in error
    assert all(way in error for way in ("join=True", "takeover=True", "another id"))
    assert "exists in the spool" in start(id="r", resume="never").answer()["error"]


def test_a_stranger_that_waits_goes_on_when_the_other_dies(start):
    first = start(id="r")
    first.answer()
    second = start(id="r", resume="allow", wait_seconds=30.0)
    assert "still has this run; waiting up to 30 s" in "".join(second.process.stderr.readline() for _ in "1")
    first.kill()
    assert second.answer()["step"] == 1


def test_takeover_and_a_proven_successor_do_not_wait(start):
    first = start(SLURM, id="r")
    first.answer()
    successor = start(SLURM | {"SLURM_RESTART_COUNT": "1"}, id="r", resume="allow", wait_seconds=30.0)
    assert successor.answer()["step"] == 1
    taker = start(id="r", resume="allow", takeover=True, wait_seconds=30.0)
    assert taker.answer()["step"] == 2


def test_who_joins_from_anywhere_begins_where_the_run_is_and_never_cuts(start, spool):
    trainer = start(id="r", log=5, config={"lr": 1})
    attempt = trainer.answer()["attempt"]
    evaluator = start(id="r", join=True)
    said = evaluator.answer()
    assert (said["attempt"], said["step"], said["config"]) == (attempt, 5, {"lr": 1})
    assert said["writer"] >= FIRST_JOINED
    assert evaluator.say("rewind").answer() is False
    assert "cannot cut the history" in evaluator.end("finish")
    with open(os.path.join(spool, attempt, f"w{said['writer']}.json")) as file:
        assert json.load(file)["joined"] is True
    trainer.say("log").end("finish")
    assert "nobody here logs into run p/r" in start(id="r", join=True).answer()["error"]


def test_a_descendant_with_the_same_run_joins_and_one_without_has_its_own(start, spool):
    parent = start(SLURM, id="r", resume="allow")
    said = parent.answer()
    child = parent.say("child").answer()
    assert (child["attempt"], child["joined"]) == (said["attempt"], True)
    assert child["writer"] >= FIRST_JOINED
    forked = parent.say("fork").answer()
    assert forked["attempt"] == said["attempt"]
    assert forked["writer"] not in {said["writer"], child["writer"]}
    assert "log() in a forked child is dropped" in parent.end("finish")
    rows = [
        codec.unpack(frame.payload)
        for frame in frames_in(os.path.join(spool, said["attempt"]))
        if frame.kind == Kind.ROW
    ]
    assert rows == [{"rank": "-"}, {"rank": "-"}, {"forked": 1}] or sorted(map(str, rows)) == sorted(
        map(str, [{"rank": "-"}, {"rank": "-"}, {"forked": 1}])
    )


def test_a_process_that_replaces_itself_by_exec_is_its_own_successor(start):
    worker = start(SLURM, id="r", resume="allow")
    first = worker.answer()
    second = worker.say("exec").answer()
    assert (second["step"], second["resumed"], second["joined"], second["writer"]) == (1, True, False, 0)
    assert second["attempt"] != first["attempt"]


def test_a_rank_that_comes_back_after_its_launch_is_over_begins_the_next_attempt(start):
    environ = ranks(2, **SLURM)
    workers = [start(one, id="r", resume="allow") for one in environ]
    first = [worker.answer() for worker in workers]
    for worker in workers:
        worker.kill()
    again = [start(one, id="r", resume="allow").answer() for one in environ]
    assert {one["attempt"] for one in again}.isdisjoint(one["attempt"] for one in first)
    assert len({one["attempt"] for one in again}) == 1


@pytest.mark.parametrize("options", [{"id": "r"}, {"id": "r", "resume": "allow"}, {"resume": True}])
def test_a_rank_that_comes_after_the_others_have_finished_is_one_of_them(start, options):
    environ = ranks(2, **SLURM)
    worker = start(environ[0], log=3, **options)
    first = worker.answer()
    worker.end("finish")
    late = start(environ[1], **options).answer()
    assert (late["attempt"], late["joined"], late["writer"], late["step"]) == (first["attempt"], True, 1, 0)


def elsewhere(spool, name):
    """Make an attempt one of another node, as its folder on a shared file system looks from here."""
    path = os.path.join(spool, name, ATTEMPT_FILE)
    with open(path) as file:
        found = json.load(file)
    found["request"].update(node="far", boot_id="another")
    with open(path, "w") as file:
        json.dump(found, file)


def age(folder, seconds):
    then = time.time() - seconds
    for name in os.listdir(folder):
        os.utime(os.path.join(folder, name), (then, then))


def test_a_writer_on_another_node_lives_as_long_as_it_writes(start, spool):
    first = start(id="r")
    name = first.answer()["attempt"]
    first.end()
    elsewhere(spool, name)
    assert "alive on far" in start(id="r", resume="allow").answer()["error"]
    age(os.path.join(spool, name), 60)
    assert start(id="r", resume="allow").answer()["step"] == 1


def test_an_auto_resume_waits_for_a_writer_elsewhere_to_show_whether_it_lives(start, spool):
    first = start(resume=True)
    said = first.answer()
    first.end()
    elsewhere(spool, said["attempt"])
    age(os.path.join(spool, said["attempt"]), 44)
    second = start(resume=True, wait_seconds=30.0).answer()
    assert (second["id"], second["step"]) == (said["id"], 1)


def test_who_was_taken_over_is_told_by_the_first_row_and_not_before(start):
    first = start(SLURM, id="r")
    first.answer()
    taker = start(id="r", resume="allow", takeover=True, log=0)
    taker.answer()
    assert first.say("superseded").answer() is False
    taker.say("log")
    assert taker.say("superseded").answer() is False
    assert first.say("superseded").answer() is True
    assert f"Process {taker.pid} on {os.uname().nodename} took this run over" in first.end("finish")


def test_a_script_that_asked_for_it_is_stopped_when_it_is_taken_over(start):
    first = start(id="r", on_superseded="stop")
    first.answer()
    start(id="r", resume="allow", takeover=True).answer()
    assert first.say("superseded").answer() is True
    assert "respool.errors.Superseded" in first.say("log").end()


def test_a_rank_without_a_daemon_joins_what_another_one_has_with_a_daemon(start, spool, tmp_path):
    """The daemon's spool is never written to: the rank's part lies in its own, under the same attempt."""
    daemons = tmp_path / "state" / "respool" / os.uname().nodename / "v1" / f"u{os.getuid()}"
    daemons.mkdir(parents=True, mode=0o700)
    os.chmod(daemons, 0o700)
    environ = ranks(2)
    first = start(environ[0] | {"RESPOOL_SPOOL_DIR": str(daemons)}, id="r", log=3).answer()
    second = start(environ[1], id="r").answer()
    assert (second["attempt"], second["writer"], second["joined"]) == (first["attempt"], 1, True)
    assert os.listdir(daemons) == [first["attempt"]] == folders(spool)
    again = start(environ[1], id="r", resume="allow").answer()
    assert "is alive on" in again["error"]
    (both,) = attempts_of([spool, str(daemons)], "p", "r", None)
    assert [writer.writer for writer in both.writers] == [0, 1]


@pytest.mark.parametrize(("explicit", "guest_shows"), [(False, True), (True, False)])
def test_of_a_guests_files_only_a_rewind_hides_any(explicit, guest_shows):
    guest = WriterFile(FIRST_JOINED + 1, "i", joined=True)
    paper = AttemptFile("a", {}, 0)
    one = Earlier("/a", paper, Request("p", "r", "r", "i"), View(), False, (WriterFile(0, "t"), guest))
    part = Shown(one, None).behind(7, explicit=explicit)
    assert [part.shows(500, guest.writer), part.shows(6, 0), part.shows(7, 0)] == [guest_shows, True, False]
