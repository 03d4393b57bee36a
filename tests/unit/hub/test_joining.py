"""Many processes of one launch, restarts of it, and runs that an auto-resume finds."""

import json
from itertools import count

import pytest

from respool.wire.frames import Kind
from respool.wire.identity import FIRST_JOINED, attempt_id_of
from respool_hub.service.files import shown as shown_files
from respool_hub.service.refusal import RefusalError
from respool_hub.service.story import tell as story_of
from respool_hub.store.rows import FileRow
from respoold.core import hubapi
from unit.hub.kit import ANNA, BERT, record, rows

LAUNCH = "slurm:c:1:0"


PIDS = count(100)


class Job:
    """One life of one job: processes that attach, each with a pid of its own."""

    def __init__(self, desk, launch=LAUNCH, identity="slurm:c:1", life=0, base="job", who=ANNA):
        self.desk, self.who = desk, who
        self.shared = {"launch": launch, "identity": identity, "restart_count": life, "base": base}

    def process(self, rank=0, run_id="fresh", resume="auto", node="n1", call=0, pid=None, **more):
        pid = pid or next(PIDS)
        given = {"project": "p", "original_id": run_id, **self.shared, **more}
        request = hubapi.AttachRequest(
            "", run_id=run_id, resume=resume, rank=rank, node=node, pid=pid,
            incarnation=f"boot-{node}:{pid}:7:{call}", **given,
        )  # fmt: skip
        return self.desk.write(lambda tx: register(tx, self.who, request, self.desk.hub.now()))


def register(tx, who, request, now):
    from respool_hub.service.register import register as do

    return do(tx, who, request, now, "hub")


@pytest.fixture
def job(desk):
    return Job(desk)


def ends(desk, done, code=0, explicit=True):
    desk.report(done.attempt.attempt_id, "ended", exit_code=code, writer=done.writer, explicit=explicit)


def dies(desk, done):
    desk.report(done.attempt.attempt_id, "gone", writer=done.writer)


def state(desk, run_id):
    return desk.show(run_id)["state"]


def test_ranks_on_any_node_are_writers_of_one_attempt_and_its_id_follows_from_the_launch(desk, job):
    found = [job.process(rank, node=f"n{rank % 2}") for rank in (2, 0, 3, 1)]
    assert {one.attempt.attempt_id for one in found} == {attempt_id_of("p", "job", LAUNCH, 0)}
    assert [(one.writer, one.joined) for one in found] == [(2, False), (0, True), (3, True), (1, True)]
    assert desk.show("job")["attempts"][0]["number"] == 1


def test_the_same_call_again_gets_the_same_slot(desk, job):
    first, second = job.process(1, pid=5), job.process(1, pid=5)
    assert (first.attempt.attempt_id, first.writer) == (second.attempt.attempt_id, second.writer)
    assert len(desk.show("job")["attempts"]) == 1


def test_two_seeds_in_one_job_are_two_runs(desk, job):
    assert [job.process().run.run_id for _ in range(3)] == ["job", "job-2", "job-3"]


def test_a_restart_loop_in_one_job_is_several_attempts_of_one_run(desk, job):
    numbers = []
    for _ in range(3):
        done = job.process()
        numbers.append((done.run.run_id, done.attempt.number, done.attempt.generation, done.resumed))
        dies(desk, done)
    assert numbers == [("job", 1, 0, False), ("job", 2, 1, True), ("job", 3, 2, True)]


def test_a_run_that_finished_is_not_continued(desk, job):
    ends(desk, job.process())
    assert job.process().run.run_id == "job-2"


def test_a_requeued_job_takes_over_from_its_last_life_even_if_that_still_beats(desk, job):
    old = job.process()
    desk.append(old.attempt.attempt_id, 0, rows(0, range(10)))
    new = Job(desk, "slurm:c:1:1", life=1).process(node="n2")
    assert (new.run.run_id, new.resumed, new.attempt.parent) == ("job", True, old.attempt.attempt_id)
    desk.append(new.attempt.attempt_id, 0, rows(0, [10]))
    assert desk.beat(old.attempt.attempt_id).commands


def test_ranks_of_the_next_life_join_its_attempt_and_not_a_run_of_their_own(desk, job):
    for done in [job.process(rank) for rank in range(2)]:
        dies(desk, done)
    again = Job(desk, "slurm:c:1:1", life=1)
    found = [again.process(rank) for rank in (1, 0)]
    assert [(one.run.run_id, one.attempt.number, one.writer) for one in found] == [
        ("job", 2, 1),
        ("job", 2, 0),
    ]


def test_an_attempt_lives_while_any_of_its_writers_does(desk, job):
    first, second = job.process(0, node="n1"), job.process(1, node="n2")
    dies(desk, first)
    assert state(desk, "job") == "running"
    ends(desk, second, code=0)
    assert state(desk, "job") == "crashed"


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((0, 1), "finished"),
        ((1, 0), "failed"),
        ((None, 1), "failed"),
        ((None, 0), "crashed"),
        ((0, None), "finished"),
    ],
)
def test_the_primary_s_end_counts_and_without_one_the_worst(desk, job, codes, expected):
    for rank, code in enumerate(codes):
        done = job.process(rank)
        later = (lambda d=done: dies(desk, d)) if code is None else (lambda d=done, c=code: ends(desk, d, c))
        codes = (*codes, later)
    for end in codes[2:]:
        end()
    assert state(desk, "job") == expected


def test_a_beat_speaks_of_its_own_node_s_writers_only(desk, job):
    first, second = job.process(0, node="n1"), job.process(1, node="n2")
    attempt = first.attempt.attempt_id
    dies(desk, second)
    request = hubapi.Beat("n1", "d", {attempt: {"alive": True, "writers": {"0": True}, "pending_records": 3}})
    other = hubapi.Beat("n2", "d", {attempt: {"alive": False, "pending_records": 4}})
    for one in (request, other, request):
        desk.write(lambda tx, one=one: beat(tx, one, desk.hub.now()))
    shown = desk.show("job")
    assert (shown["state"], shown["pending_records"]) == ("running", 7)


def beat(tx, request, now):
    from respool_hub.service.beats import beat as do

    return do(tx, ANNA, request, now)


def test_a_descendant_joins_while_its_attempt_lives_and_begins_anew_when_not(desk, job):
    trainer = job.process()
    child = job.process(-1)
    assert (child.attempt.attempt_id, child.joined) == (trainer.attempt.attempt_id, True)
    assert child.writer >= FIRST_JOINED
    dies(desk, trainer)
    dies(desk, child)
    late = job.process(-1)
    assert (late.joined, late.attempt.number) == (False, 2)


@pytest.mark.parametrize("resume", ["auto", "none", "allow"])
def test_a_rank_that_comes_after_the_others_have_finished_is_one_of_them(desk, job, resume):
    run_id = "fresh" if resume == "auto" else "job"
    first = job.process(0, run_id, resume)
    desk.append(first.attempt.attempt_id, 0, rows(0, range(3)))
    ends(desk, first)
    late = job.process(1, run_id, resume)
    assert (late.attempt.attempt_id, late.writer, late.joined) == (first.attempt.attempt_id, 1, True)
    assert state(desk, "job") == "running"
    dies(desk, late)
    assert state(desk, "job") == "finished"


def test_nobody_joins_a_finished_attempt_whose_slot_was_used_or_who_has_no_rank(desk, job):
    ends(desk, job.process(0))
    assert job.process(0).run.run_id == "job-2"
    assert job.process(-1).attempt.generation == 0
    assert not job.process(-1, "job", "allow").joined


def test_a_rank_that_comes_after_the_others_have_failed_begins_the_next_attempt(desk, job):
    first = job.process(0)
    ends(desk, first, code=1)
    late = job.process(1)
    assert (late.joined, late.attempt.generation) == (False, 1)


def test_a_second_call_of_one_process_is_another_run_s_or_another_attempt_s(desk, job):
    first = job.process(pid=9)
    ends(desk, first, code=1)
    second = job.process(pid=9, call=1)
    assert (second.joined, second.attempt.number) == (False, 2)


def test_join_true_logs_into_a_live_attempt_from_anywhere_and_needs_one(desk, job):
    other = Job(desk, "elsewhere", "", base="")
    with pytest.raises(RefusalError, match="nobody logs into run p/job"):
        other.process(run_id="job", resume="allow", join=True)
    trainer = job.process()
    evaluator = other.process(run_id="job", resume="allow", join=True, rank=0)
    assert (evaluator.attempt.attempt_id, evaluator.joined) == (trainer.attempt.attempt_id, True)
    assert evaluator.writer >= FIRST_JOINED
    dies(desk, trainer)
    assert state(desk, "job") == "crashed"


def test_a_guest_counts_as_it_pleases_and_keeps_its_rows_until_somebody_cuts_on_purpose(desk, job):
    trainer = job.process()
    guest = Job(desk, "elsewhere", "", base="").process(run_id="job", resume="allow", join=True)
    tell_rows(desk, trainer, range(10), loss=1.0)
    tell_rows(desk, guest, [5, 8, 500], accuracy=0.5)
    with_file(desk, guest, "report.html", 500)
    dies(desk, trainer)
    assert desk.show("job")["last_step"] == 9
    second = Job(desk, life=1).process()
    assert second.resumed
    tell_rows(desk, second, [7, 8], loss=2.0)
    told = [json.loads(line) for line in desk.lines("job")]
    assert [(row["_step"], row.get("loss"), row.get("accuracy")) for row in told] == [
        *((step, 1.0, 0.5 if step == 5 else None) for step in range(7)), (7, 2.0, None), (8, 2.0, 0.5), (500, None, 0.5)
    ]  # fmt: skip
    shown = desk.show("job")
    assert [one["hidden"] for one in shown["attempts"]] == [3, 0]
    assert (shown["last_step"], shown["summary"]) == (8, {"loss": 2.0, "accuracy": 0.5})
    assert files(desk) == ["report.html"]
    hidden = [json.loads(line) for line in desk.lines("job", every=True)]
    assert [row["_step"] for row in hidden if row.get("_hidden")] == [7, 8, 9]
    dies(desk, second)
    third = Job(desk, life=2).process()
    desk.append(third.attempt.attempt_id, 0, record(Kind.CUT, 0, {"step": 6}) + rows(1, [6], loss=3.0))
    told = [json.loads(line) for line in desk.lines("job")]
    assert [(row["_step"], row.get("accuracy")) for row in told if row["_step"] > 4] == [(5, 0.5), (6, None)]
    assert files(desk) == []


def tell_rows(desk, done, steps, **values):
    desk.append(done.attempt.attempt_id, 0, rows(0, steps, **values), writer=done.writer)


def with_file(desk, done, name, step):
    row = FileRow(done.attempt.attempt_id, done.writer, 99, name, "d" * 64, 1, step, 0.0, {})
    desk.write(lambda tx: tx.add_file(row))


def files(desk):
    def look(reader):
        run = reader.run("anna", "p", "job")
        return list(shown_files(reader.files(run.id), story_of(reader, run.id, run.head)))

    return desk.read(look)


def test_the_state_file_s_run_is_continued_by_a_job_with_another_number(desk, job):
    first = job.process()
    dies(desk, first)
    chained = Job(desk, "slurm:c:2:0", "slurm:c:2", base="job-of-2")
    done = chained.process(remembered="job")
    assert (done.run.run_id, done.resumed) == ("job", True)
    rank = chained.process(1, remembered="job")
    assert (rank.attempt.attempt_id, rank.joined) == (done.attempt.attempt_id, True)


def test_another_user_s_launch_of_the_same_name_gets_an_id_of_its_own(desk, job):
    mine, theirs = job.process(), Job(desk, who=BERT).process()
    assert mine.run.run_id == theirs.run.run_id == "job"
    assert mine.attempt.attempt_id != theirs.attempt.attempt_id


def test_two_nodes_that_were_answered_offline_register_one_attempt(desk):
    attempt = attempt_id_of("p", "job", LAUNCH, 0)
    for node, rank in (("n2", 1), ("n1", 0), ("n2", 1)):
        slot = {"writer": rank, "incarnation": f"b{node}:1:1:0", "node": node, "pid": 1, "joined": False}
        desk.attach(attempt, run_id="job", offline=True, node=node, launch=LAUNCH, writers=[slot])
    assert [slot.writer for slot in desk.read(lambda reader: reader.slots(attempt))] == [0, 1]
    assert len(desk.show("job")["attempts"]) == 1


@pytest.mark.parametrize(
    "wrong", [{"rank": -2}, {"generation": -1}, {"base": "a b"}, {"identity": "x" * 2000}]
)
def test_what_no_scheduler_says_is_refused(desk, job, wrong):
    with pytest.raises(RefusalError):
        job.process(**wrong)


WAYS = {"loss": {"summary": "mean"}, "begin": {"summary": "first"}, "two": {"summary": "first,max"}}


def ranks_that_log(desk, job, order, told):
    """Ranks of one attempt with a row each {rank: (step, values)}, which arrive in this order."""
    found = {rank: job.process(rank) for rank in (0, 1, 2)}
    for rank in order:
        step, values = told[rank]
        defined = record(Kind.META, 0, {"metrics": WAYS})
        desk.append(found[rank].attempt.attempt_id, 0, defined + rows(1, [step], **values), writer=rank)
    return found


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_first_value_is_the_lowest_steps_then_the_lowest_writers_whoever_came_first(desk, job, order):
    told = {
        0: (7, {"begin": 70, "two": 1}),
        1: (5, {"begin": 51, "two": 2, "only": 1}),
        2: (5, {"begin": 52, "two": 3}),
    }
    ranks = ranks_that_log(desk, job, order, told)
    expected = {"begin": 51, "two": {"first": 2, "max": 3}, "only": 1}
    assert desk.show("job")["summary"] == expected
    for one in ranks.values():
        dies(desk, one)
    again = ranks_that_log(
        desk, Job(desk, life=1), order, {rank: (9, {"begin": 9, "two": 9}) for rank in range(3)}
    )
    assert again[0].attempt.number == 2
    assert desk.show("job")["summary"] == {**expected, "two": {"first": 2, "max": 9}}


def test_a_mean_is_of_all_writers_and_attempts_and_never_of_a_row_twice(desk, job):
    ranks = ranks_that_log(desk, job, (0, 1, 2), {rank: (5, {"loss": rank}) for rank in range(3)})
    assert desk.show("job")["summary"]["loss"] == {"mean": 1.0, "count": 3}
    for one in ranks.values():
        dies(desk, one)
    second = Job(desk, life=1).process()
    seen = {
        "config": {},
        "summary": {"loss": {"mean": 1.0, "count": 3}},
        "meta": {"metrics": WAYS},
        "last_step": 5,
    }
    attempt = second.attempt.attempt_id
    desk.append(attempt, 0, record(Kind.SNAPSHOT, 0, seen) + rows(1, [6], loss=5))
    assert desk.show("job")["summary"]["loss"] == {"mean": 2.0, "count": 4}
    behind = {**seen, "summary": {"loss": {"mean": 3.0, "count": 6}}, "last_step": 8}
    lost = record(Kind.LOSS, 2, {"reason": "x"}, span=2)
    desk.append(attempt, 2, lost + record(Kind.SNAPSHOT, 4, behind) + rows(5, [9], loss=10))
    assert desk.show("job")["summary"]["loss"] == {"mean": 4.0, "count": 7}


def test_who_joins_late_does_not_count_again_what_it_was_told_when_it_came(desk, job):
    metrics = {"meta": {"metrics": WAYS}, "config": {}}
    told = {0: {}, 1: {"loss": {"mean": 2.0, "count": 2}, "other": 3}}
    for rank in (0, 1):
        attempt = job.process(rank).attempt.attempt_id
        whole = record(Kind.SNAPSHOT, 0, {**metrics, "summary": told[rank], "last_step": None})
        desk.append(attempt, 0, whole + rows(1, [0, 1], loss=2), writer=rank)
    assert desk.show("job")["summary"] == {"loss": {"mean": 2.0, "count": 4}, "other": 3}
