"""Attaching without a hub and with one: real folders and processes, several writers, deaths, refusals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from respool.wire.frames import Kind
from respool.wire.identity import FIRST_JOINED, attempt_id_of
from respool.wire.limits import SEGMENT_SIZE
from respool.wire.messages import Refused
from respoold.core.errors import HubRefused
from respoold.core.hubapi import Problem
from respoold.core.states import State
from respoold.io import disk, segments
from respoold.tasks.attach import Granted, attach
from respoold.tasks.retire import retire_if_complete
from unit.tasks.kit import ME, Caller, FakeHub, People, a_keeper, granted, log, people, refused


@pytest.fixture
def who() -> Iterator[People]:
    with people() as made:
        yield made


@pytest.fixture
def spool(tmp_path: Path) -> str:
    return str(tmp_path / "spool")


async def test_ranks_without_a_hub_are_writers_of_one_attempt_with_an_id_that_any_node_derives(
    spool: str, who: People
) -> None:
    async with a_keeper(spool) as keeper:
        found = [await granted(keeper, who.ask(rank=rank)) for rank in (0, 1, 2)]
        (attempt,) = keeper.node
        assert {one.attached.attempt_id for one in found} == {attempt_id_of("p", "r", "L", 0)}
        assert [(one.attached.writer, one.attached.joined) for one in found] == [
            (0, False),
            (1, True),
            (2, True),
        ]
        assert sorted(paper.writer for paper in disk.read_writers(attempt.directory)) == [1, 2]
        assert sorted(segments.indexes(attempt.directory)) == [0, 1, 2]


async def test_a_rank_that_comes_alone_on_its_node_derives_the_same_id(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        found = await granted(keeper, who.ask(rank=5))
        assert (found.attached.attempt_id, found.attached.writer) == (attempt_id_of("p", "r", "L", 0), 5)
        assert keeper.node.get(found.attached.attempt_id) is not None


async def test_the_same_call_gets_the_same_slot_until_it_has_written(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        await granted(keeper, who.ask())
        request = who.ask(rank=-1)
        first = await granted(keeper, request)
        again = await granted(keeper, request)
        assert first.attached.writer == again.attached.writer >= FIRST_JOINED
        assert again.attached.joined
        log(keeper, again)
        assert (await refused(keeper, request)).code == "conflict"


async def test_ranks_that_come_at_once_find_each_other(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper, trio.open_nursery() as nursery:
        for rank in (3, 1, 0, 2):
            nursery.start_soon(granted, keeper, who.ask(rank=rank))
    async with a_keeper(spool) as keeper:
        (attempt,) = keeper.node
        assert sorted(attempt.writers) == [0, 1, 2, 3]


async def test_a_restart_in_one_launch_is_the_next_attempt_and_goes_on(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        request = who.ask()
        first = await granted(keeper, request)
        log(keeper, first, 0, 1, 2)
        who.kill(request)
        second = await granted(keeper, who.ask(resume="allow"))
        assert second.attached.attempt_id == attempt_id_of("p", "r", "L", 1)
        assert (second.attached.resumed, second.attached.step) == (True, 3)
        assert second.attempt.file.parent == first.attached.attempt_id
        assert first.attempt.state is State.CRASHED


ENDED = {"state": "ended", "exit_code": 0, "reason": "finish"}


@pytest.mark.parametrize("resume", ["none", "allow", "auto"])
async def test_a_rank_that_comes_after_the_others_have_finished_is_one_of_them(
    spool: str, who: People, resume: str
) -> None:
    async with a_keeper(spool) as keeper:
        asked = who.ask(resume=resume)
        first = await granted(keeper, asked)
        log(keeper, first, 0, 1, 2)
        log(keeper, first, kind=Kind.STATE, value=ENDED)
        who.kill(asked)
        late = await granted(keeper, who.ask(rank=1, resume=resume))
        assert late.attempt is first.attempt
        assert (late.attached.writer, late.attached.joined, late.attached.step) == (1, True, 0)
        assert late.attempt.state is State.RUNNING
        other = await granted(keeper, who.ask(rank=-1, resume=resume))
        assert other.attached.joined, "it lives again"


async def test_what_was_on_the_shelf_is_kept_for_a_rank_that_comes_late(spool: str, who: People) -> None:
    async with a_keeper(spool, FakeHub()) as keeper:
        asked = who.ask()
        first = await granted(keeper, asked)
        log(keeper, first, 0, 1, 2)
        log(keeper, first, kind=Kind.STATE, value=ENDED)
        who.kill(asked)
        attempt = first.attempt
        keeper.died(attempt, 0)
        while any(keeper.look(reader) for reader in keeper.readers_of(attempt)):
            pass
        attempt.acknowledge(0, 4)
        attempt.reported |= {one.key for one in attempt.unreported()}
        await retire_if_complete(keeper, attempt)
        assert attempt.shelved
        hub = keeper.uplinks.of(ME, None).hub  # type: ignore[union-attr]
        hub.answers.append({"attempt_id": attempt.id, "writer": 1, "joined": True})  # type: ignore[attr-defined]
        late = await granted(keeper, who.ask(rank=1))
        assert (late.attempt, attempt.shelved, attempt.complete) == (attempt, False, False)
        await retire_if_complete(keeper, attempt)
        assert sorted(segments.indexes(attempt.directory)) == [0, 1]


async def test_two_seeds_of_one_job_are_two_runs(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        asked = [who.ask(resume="auto", base="job", run_id=f"fresh{n}") for n in range(2)]
        found = [await granted(keeper, one) for one in asked]
        assert [one.attached.run_id for one in found] == ["job", "job-2"]
        who.kill(*asked)
        log(keeper, found[0])
        later = await granted(keeper, who.ask(resume="auto", base="job", run_id="x", launch="next"))
        assert (later.attached.run_id, later.attached.resumed) == ("job", True)


async def test_a_daemon_that_comes_back_knows_who_died_meanwhile_and_judges_after_reading(
    spool: str, who: People
) -> None:
    asked = [who.ask(rank=rank) for rank in range(3)]
    async with a_keeper(spool) as keeper:
        found = [await granted(keeper, one) for one in asked]
        # Written, and not looked at before the daemon went.
        reader = keeper.readers[found[1].attempt.id, 1]
        ahead = reader.descriptor(0)
        log(keeper, found[0])
        data = os.pread(keeper.readers[found[0].attempt.id, 0].descriptor(0), 200, 4096)
        os.pwrite(ahead, data, 4096)
    who.kill(asked[1])
    async with a_keeper(spool) as keeper:
        (attempt,) = keeper.node
        assert [attempt.writers[slot].alive for slot in range(3)] == [True, False, True]
        assert attempt.unreported() == []
        for reader in keeper.readers_of(attempt):
            while keeper.look(reader):
                pass
        assert attempt.tails[1].facts.rows == 1
        assert [(one.said.writer, one.said.event) for one in attempt.unreported()] == [(1, "gone")]
        assert attempt.state is State.RUNNING


async def test_a_paper_without_segments_is_a_writer_that_never_wrote(spool: str, who: People) -> None:
    request = who.ask(rank=1)
    async with a_keeper(spool) as keeper:
        await granted(keeper, who.ask())
        found = await granted(keeper, request)
        for index in (0, 1):
            segments.delete(found.attempt.directory, 1, index)
    async with a_keeper(spool) as keeper:
        again = await granted(keeper, request)
        assert (again.attached.writer, len(again.fds)) == (1, 2)


async def test_a_stranger_waits_and_is_then_refused_with_the_ways_out(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        head = who.ask(launch="A")
        await granted(keeper, head)
        caller = Caller()
        answer = await refused(keeper, who.ask(launch="B", resume="allow"), caller)
        assert answer.code == "live"
        assert caller.waited
        for word in (disk.node_name(), str(head.pid), "beating", "join=True", "takeover=True", "another id"):
            assert word in f"{answer.cause} {answer.advice}"


async def test_a_stranger_goes_on_as_soon_as_the_head_has_died(spool: str, who: People) -> None:
    async with a_keeper(spool, heartbeat=10.0) as keeper:
        head = who.ask(launch="A")
        log(keeper, await granted(keeper, head))
        began = trio.current_time()
        found = await granted(keeper, who.ask(launch="B", resume="allow"), Caller(lambda: who.kill(head)))
        assert (found.attached.resumed, found.attached.step) == (True, 1)
        assert trio.current_time() - began < 5


async def test_a_later_life_of_the_same_job_takes_over_at_once(spool: str, who: People) -> None:
    async with a_keeper(spool, heartbeat=100.0) as keeper:
        first = await granted(keeper, who.ask(launch="A", identity="job", restart_count=1))
        log(keeper, first)
        asked = who.ask(launch="B", identity="job", restart_count=2, resume="allow")
        assert (await granted(keeper, asked)).attached.resumed


async def test_the_old_attempt_is_superseded_by_the_first_row_and_not_by_the_candidate(
    spool: str, who: People
) -> None:
    async with a_keeper(spool) as keeper:
        old = await granted(keeper, who.ask(launch="A"))
        log(keeper, old)
        said = list[Any]()
        keeper.voices.add(old.attempt.id, 0, lambda message, *_: said.append(message.code))
        new = await granted(keeper, who.ask(launch="B", resume="allow", takeover=True))
        assert not old.attempt.superseded
        log(keeper, new, 1)
        assert (old.attempt.superseded, said) == (True, ["superseded"])
        log(keeper, new, 2)
        assert said == ["superseded"]
    async with a_keeper(spool) as keeper:
        assert [one.superseded for one in keeper.node] == [True, False]


async def test_a_candidate_that_ends_before_its_first_row_changes_nothing(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        old = who.ask(launch="A")
        log(keeper, await granted(keeper, old), 0, 1)
        who.kill(old)
        candidate = who.ask(launch="B", resume="allow")
        await granted(keeper, candidate)
        who.kill(candidate)
        third = await granted(keeper, who.ask(launch="C", resume="allow"))
        assert third.attempt.file.parent == attempt_id_of("p", "r", "A", 0)
        assert third.attached.step == 2


async def test_who_hung_up_gets_no_attempt(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        await refused(keeper, who.ask(), Caller(there=False))
        assert list(keeper.node) == []


async def test_join_without_anybody_to_join_is_refused(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        answer = await refused(keeper, who.ask(join=True))
        assert (answer.code, "join=True" in answer.cause) == ("missing", True)


async def test_an_evaluator_joins_from_anywhere_and_begins_where_the_attempt_is(
    spool: str, who: People
) -> None:
    async with a_keeper(spool) as keeper:
        log(keeper, await granted(keeper, who.ask()), 0, 1, 2, 3)
        found = await granted(keeper, who.ask(launch="other", join=True))
        assert (found.attached.joined, found.attached.step) == (True, 4)
        (paper,) = disk.read_writers(found.attempt.directory)
        assert paper.joined


async def test_a_later_life_that_nobody_knows_is_told_so_loudly(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        found = await granted(keeper, who.ask(resume="allow", restart_count=2))
        assert found.attached.unknown
        assert any("nobody here knows run p/r" in line for line in found.attached.lines)
        other = await granted(keeper, who.ask(run_id="x", resume="allow"))
        assert not other.attached.unknown


async def test_another_spelling_of_an_id_is_no_silent_merge(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        request = who.ask(run_id="a-b", original_id="a b")
        await granted(keeper, request)
        who.kill(request)
        answer = await refused(keeper, who.ask(run_id="a-b", original_id="a/b", resume="allow"))
        assert (answer.code, "'a b'" in answer.cause, "'a/b'" in answer.cause) == ("conflict", True, True)


async def test_without_room_nothing_is_asked_and_nothing_begins(spool: str, who: People) -> None:
    hub = FakeHub()
    async with a_keeper(spool, hub, rows_quota=SEGMENT_SIZE) as keeper:
        assert (await refused(keeper, who.ask())).code == "quota"
        assert (hub.asked, list(keeper.node)) == ([], [])


async def test_the_hub_decides_run_attempt_and_slot(spool: str, who: People) -> None:
    hub = FakeHub()
    hub.answers = [
        {"run_id": "job-3", "generation": 2, "writer": 7, "joined": True, "step": 9, "resumed": True}
    ]
    async with a_keeper(spool, hub) as keeper:
        found = await granted(keeper, who.ask(resume="auto", base="job", rank=7))
        assert (hub.asked[0].attempt_id, hub.asked[0].base, hub.asked[0].rank) == ("", "job", 7)
        told = found.attached
        assert (told.run_id, told.writer, told.joined, told.step, told.number) == ("job-3", 7, True, 9, 1)
        assert (found.attempt.file.generation, found.attempt.registered) == (2, True)
        assert found.attempt.request.resume == "allow"


async def test_what_cannot_be_made_after_the_hub_agreed_is_gone_and_leaves_nothing(
    spool: str, who: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub()
    make = segments.create
    async with a_keeper(spool, hub) as keeper:
        await granted(keeper, who.ask())
        (attempt,) = keeper.node

        def create(directory: str, attempt_id: str, writer: int, index: int) -> int:
            if index == 1:
                raise OSError(28, "No space left on device")
            return make(directory, attempt_id, writer, index)

        monkeypatch.setattr(segments, "create", create)
        hub.answers = [{"writer": 1, "joined": True}, {"attempt_id": "cd" * 16, "run_id": "s"}]
        assert (await refused(keeper, who.ask(rank=1))).code == "quota"
        assert (disk.read_writers(attempt.directory), list(segments.indexes(attempt.directory))) == ([], [0])
        assert (await refused(keeper, who.ask(run_id="s", original_id="s"))).code == "quota"
        assert not os.path.exists(disk.attempt_directory(keeper.root, os.getuid(), "cd" * 16))
        told = [(attempt_id, one.event, one.writer) for attempt_id, one in hub.told]
        assert told == [("ab" * 16, "gone", 1), ("cd" * 16, "gone", 0)]


async def test_an_id_that_would_be_a_path_is_no_answer_of_a_hub(spool: str, who: People) -> None:
    hub = FakeHub()
    hub.answers = [{"attempt_id": "../../../etc/x"}]
    async with a_keeper(spool, hub) as keeper:
        found = await granted(keeper, who.ask())
        assert found.attached.attempt_id == attempt_id_of("p", "r", "L", 0)
        assert not found.attempt.registered


async def test_a_run_that_was_given_another_id_is_continued_under_that(spool: str, who: People) -> None:
    request = who.ask(resume="never")
    async with a_keeper(spool) as keeper:
        log(keeper, await granted(keeper, request))
    who.kill(request)
    hub = FakeHub()
    hub.answers = [{"run_id": "r-2"}, {"run_id": "r-2", "attempt_id": "cd" * 16, "resumed": True}]
    async with a_keeper(spool, hub) as keeper:
        (first,) = keeper.node
        found = await granted(keeper, who.ask(launch="B", resume="allow"))
        assert first.home == "r-2"
        assert (hub.asked[0].offline, hub.asked[0].attempt_id) == (True, first.id)
        assert [one["writer"] for one in hub.asked[0].writers] == [0]
        assert (hub.asked[1].run_id, hub.asked[1].parent, hub.asked[1].dead) == ("r-2", first.id, [first.id])
        assert found.attached.run_id == "r-2"
        assert [one.event for _, one in hub.told] == ["gone"]


async def test_a_writer_that_joined_without_the_hub_is_registered_with_it(spool: str, who: People) -> None:
    hub = FakeHub()
    async with a_keeper(spool, hub) as keeper:
        found = await granted(keeper, who.ask())
        uplink = keeper.uplink_of(found.attempt)
        assert uplink is not None
        uplink.failed("gone for a while")
        await granted(keeper, who.ask(rank=1))
        assert not found.attempt.registered
        uplink.answered()
        await granted(keeper, who.ask(rank=2, run_id="r"))
        assert [one["writer"] for one in hub.asked[1].writers] == [0, 1]


async def test_a_hub_that_refuses_to_register_a_parent_is_obeyed(spool: str, who: People) -> None:
    class Refusing(FakeHub):
        async def attach(self, request: Any) -> Any:
            raise HubRefused(409, Problem("conflict", "no", "never"))

    async with a_keeper(spool, Refusing()) as keeper:
        assert (await refused(keeper, who.ask())).code == "conflict"


async def test_a_writers_end_closes_its_own_reading_only(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        found = [await granted(keeper, who.ask(rank=rank)) for rank in (0, 1)]
        value = {"state": "ended", "exit_code": 0, "reason": "finish"}
        log(keeper, found[0], kind=Kind.STATE, value=value)
        assert keeper.readers[found[0].attempt.id, 0].finished
        log(keeper, found[1])
        assert not keeper.readers[found[0].attempt.id, 1].closing
        assert found[0].attempt.state is State.RUNNING


async def test_what_is_kept_for_another_user_is_handed_out_by_nobodys_word(spool: str, who: People) -> None:
    hub = FakeHub()
    async with a_keeper(spool, hub) as keeper:
        uplink = keeper.uplinks.of(ME + 1, None)
        assert uplink is not None
        uplink.hub, uplink.shut = hub, None  # type: ignore[assignment]
        mine = who.ask()
        found = await granted(keeper, mine)
        # By the id of the attempt, which the hub says; by the call that it answered; by its launch.
        hub.answers = [{"attempt_id": found.attempt.id, "writer": 1, "joined": True}]
        theirs = await attach(keeper, ME + 1, who.ask(rank=1), Caller())
        assert isinstance(theirs, Refused)
        assert (theirs.code, "another user" in theirs.cause) == ("conflict", True)
        hub.answers = [{"attempt_id": "cd" * 16}]
        repeated = await attach(keeper, ME + 1, mine, Caller())
        assert isinstance(repeated, Granted)
        for fd in repeated.fds:
            os.close(fd)
        assert repeated.attempt is not found.attempt
        assert f"u{ME + 1}" in repeated.attached.directory
        assert (list(found.attempt.writers), disk.read_writers(found.attempt.directory)) == ([0], [])


async def test_of_two_users_who_come_at_once_for_one_attempt_one_gets_it_and_the_other_leaves_nothing(
    spool: str, who: People
) -> None:
    hub, answers = FakeHub(), dict[int, Granted | Refused]()
    async with a_keeper(spool, hub) as keeper:
        for uid in (ME, ME + 1):
            uplink = keeper.uplinks.of(uid, None)
            assert uplink is not None
            uplink.hub, uplink.shut = hub, None  # type: ignore[assignment]

        async def come(uid: int) -> None:
            answers[uid] = await attach(keeper, uid, who.ask(), Caller())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come, ME)
            nursery.start_soon(come, ME + 1)
        won = {uid: one for uid, one in answers.items() if isinstance(one, Granted)}
        ((uid, one),) = won.items()
        for fd in one.fds:
            os.close(fd)
        (attempt,) = keeper.node
        assert attempt.file.uid == uid
        (other,) = answers.keys() - won
        assert not os.path.exists(disk.attempt_directory(keeper.root, other, attempt.id))
