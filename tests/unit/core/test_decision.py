"""What a request comes to by what one node knows: joins, ordinals, rivals, generations."""

from __future__ import annotations

from typing import Any

import pytest

from respool.wire import codec
from respool.wire.attempt import AttemptFile, Request, WriterFile
from respool.wire.choice import Standing
from respool.wire.frames import Kind, encode
from respool.wire.identity import FIRST_JOINED, attempt_id_of
from respoold.core.attempt import Attempt
from respoold.core.decision import Known, overtaken, plan, rivals_of, standing, succeeds
from respoold.core.memory import Memory
from respoold.core.writer import Writer


def a_request(pid: int = 1, call: str = "a", **more: Any) -> Request:
    given = {"launch": "L", "rank": 0, "boot_id": "b", "pid": pid, "start_time": 5, **more}
    return Request("p", given.pop("run_id", "r"), given.pop("original_id", "r"), f"b:{pid}:5:{call}", **given)


def an_attempt(request: Request, generation: int = 0, *, alive: bool = True, rows: int = 1) -> Attempt:
    request = request._replace(writer=max(request.rank, 0))
    attempt_id = attempt_id_of(request.project, request.run_id, request.launch, generation)
    attempt = Attempt(AttemptFile(attempt_id, request._asdict(), 1000, generation=generation), "/spool/a")
    attempt.writers[request.writer].alive = alive
    for seq in range(rows):
        row = encode(Kind.ROW, codec.pack({"n": seq}), seq=seq, step=seq, time=0.0)
        attempt.note(request.writer, attempt.tail(request.writer).feed(row, 0.0).frames, 0.0)
    return attempt


def end(attempt: Attempt, code: int, slot: int = 0) -> Attempt:
    state = {"state": "ended", "exit_code": code, "reason": "finish"}
    tail = attempt.tail(slot)
    frame = encode(Kind.STATE, codec.pack(state), seq=tail.next_seq, step=0, time=0.0)
    attempt.note(slot, tail.feed(frame, 0.0).frames, 0.0)
    return attempt


def join(attempt: Attempt, slot: int, pid: int, *, joined: bool = False) -> Writer:
    writer = attempt.take_writer(WriterFile(slot, f"b:{pid}:5:x", "b", pid, 5, "n", joined))
    writer.alive = True
    return writer


def decided(request: Request, *attempts: Attempt, **more: Any) -> Any:
    def look(run_id: str) -> Known:
        return Known([one for one in attempts if one.run[1] == run_id], **more)

    return plan(request, look)


def test_ranks_that_know_nothing_of_each_other_begin_the_same_attempt() -> None:
    plans = [decided(a_request(pid, rank=rank)) for pid, rank in ((1, 0), (9, 3))]
    assert [(one.joined, one.writer, one.generation) for one in plans] == [(None, 0, 0), (None, 3, 0)]


def test_a_rank_joins_the_attempt_of_its_launch_in_the_slot_of_its_rank() -> None:
    first = an_attempt(a_request(1))
    found = decided(a_request(2, rank=3), first)
    assert (found.joined, found.writer, found.generation) == (first, 3, 0)


def test_a_descendant_without_a_rank_joins_in_a_slot_of_its_own_and_the_same_when_it_asks_again() -> None:
    first = an_attempt(a_request(1))
    one, again = (decided(a_request(2, rank=-1), first) for _ in range(2))
    assert one.joined is first
    assert one.writer == again.writer >= FIRST_JOINED
    join(first, one.writer, 7)
    assert decided(a_request(2, rank=-1), first).writer not in {one.writer, 0}


@pytest.mark.parametrize("rank", [0, 3])
def test_a_slot_that_was_used_is_not_given_again(rank: int) -> None:
    first = an_attempt(a_request(1))
    join(first, 3, 7)
    assert decided(a_request(2, rank=rank), first).joined is None


def test_a_restart_loop_begins_one_attempt_after_the_other() -> None:
    first = an_attempt(a_request(1), alive=False)
    second = an_attempt(a_request(2), 1, alive=False)
    found = decided(a_request(3), first, second)
    assert (found.joined, found.generation) == (None, 2)
    assert decided(a_request(3, launch="other"), first, second).generation == 0


def test_an_attempts_number_is_not_given_again_when_its_folder_is_gone() -> None:
    assert decided(a_request(3), launches={"L": 4}).generation == 5


def test_a_second_call_of_one_process_does_not_join_its_own_first() -> None:
    first = an_attempt(a_request(1))
    assert decided(a_request(1, "b", rank=-1), first).joined is None


def test_nobody_joins_an_attempt_that_died_and_one_that_finished_only_a_rank_that_was_not_there() -> None:
    dead = an_attempt(a_request(1), alive=False)
    assert decided(a_request(2, rank=1), dead).joined is None
    failed = end(an_attempt(a_request(1)), 1)
    assert decided(a_request(2, rank=1), failed).joined is None
    finished = end(an_attempt(a_request(1)), 0)
    assert decided(a_request(2, rank=1), finished).joined is finished
    assert decided(a_request(2, rank=0), finished).joined is None
    assert decided(a_request(2, rank=-1), finished).joined is None


def test_two_seeds_in_one_job_are_two_runs() -> None:
    one = a_request(1, resume="auto", base="job", run_id="fresh")
    first = decided(one)
    assert (first.request.run_id, first.request.resume) == ("job", "allow")
    running = an_attempt(one._replace(run_id="job", original_id="job"))
    second = decided(a_request(2, resume="auto", base="job", run_id="fresh2"), running)
    assert (second.joined, second.request.run_id) == (None, "job-2")


def test_all_ranks_of_the_second_seed_join_that_one() -> None:
    first = an_attempt(a_request(1, run_id="job", launch="A"))
    second = an_attempt(a_request(2, run_id="job-2", launch="B"))
    request = a_request(3, launch="B", rank=1, resume="auto", base="job", run_id="x")
    assert decided(request, first, second).joined is second


def test_the_next_life_of_a_job_continues_what_did_not_finish() -> None:
    crashed = an_attempt(a_request(1, run_id="job", original_id="job"), alive=False)
    request = a_request(2, launch="later", resume="auto", base="job", run_id="x")
    found = decided(request, crashed)
    assert (found.request.run_id, found.request.original_id, found.request.resume) == ("job", "job", "allow")
    finished = end(an_attempt(a_request(1, run_id="job"), alive=False), 0)
    assert decided(request, finished).request.run_id == "job-2"


def test_the_run_of_the_state_file_keeps_the_spelling_that_it_was_begun_with() -> None:
    old = an_attempt(a_request(1, run_id="a-b", original_id="a b", launch="before"), alive=False)
    found = decided(a_request(2, resume="auto", remembered="a-b", run_id="x"), old)
    assert (found.request.run_id, found.request.original_id) == ("a-b", "a b")


@pytest.mark.parametrize(
    ("state", "expected"),
    [("finished", Standing.FINISHED), ("crashed", Standing.OPEN), ("running", Standing.OPEN)],
)
def test_a_run_that_is_only_remembered_stands_as_its_memory_says(state: str, expected: Standing) -> None:
    assert standing(a_request(), Known(memory=Memory("p", "r", "r", state=state))) is expected
    assert standing(a_request(), Known()) is Standing.UNKNOWN


def test_join_takes_the_newest_attempt_that_lives_whatever_the_launch() -> None:
    old = an_attempt(a_request(1, launch="A"))
    new = an_attempt(a_request(2, launch="B"))
    found = decided(a_request(3, launch="C", join=True), old, new)
    assert (found.joined, found.writer >= FIRST_JOINED) == (new, True)
    assert decided(a_request(3, join=True), an_attempt(a_request(1), alive=False)).joined is None


def test_who_came_by_join_keeps_no_run_alive() -> None:
    attempt = an_attempt(a_request(1))
    join(attempt, FIRST_JOINED, 7, joined=True)
    attempt.writers[0].alive, attempt.writers[0].gone = False, True
    assert rivals_of(a_request(3, launch="other"), [attempt]) == []
    assert attempt.alive


def test_a_stranger_is_kept_out_a_later_life_and_a_takeover_are_not() -> None:
    head = an_attempt(a_request(1, identity="job", restart_count=1))
    stranger = a_request(2, launch="other")
    assert rivals_of(stranger, [head]) == [head]
    assert rivals_of(stranger._replace(takeover=True), [head]) == []
    assert rivals_of(stranger._replace(identity="job", restart_count=2), [head]) == []
    assert rivals_of(stranger._replace(identity="job", restart_count=1), [head]) == [head]
    assert not succeeds(a_request(restart_count=2), a_request(restart_count=1))


def test_a_process_is_not_its_own_rival() -> None:
    head = an_attempt(a_request(1))
    assert rivals_of(a_request(1, "b"), [head]) == []
    assert standing(a_request(1, "b"), Known([head])) is Standing.ALIVE


def test_the_first_row_overtakes_those_before_it_that_still_live() -> None:
    dead, old, adopted, new, later = (an_attempt(a_request(pid), pid) for pid in range(1, 6))
    dead.writers[0].alive = False
    adopted.adopted = True
    assert overtaken(new, [dead, old, adopted, new, later]) == [old]
    old.superseded = True
    assert overtaken(new, [dead, old, adopted, new, later]) == []
