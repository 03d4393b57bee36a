"""Preemption notices: whom they reach, when they end, and that a restart keeps them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from respool.wire.frames import Kind
from respoold.core.noticeboard import GRACE
from respoold.core.schedule import Priority, Stream
from respoold.core.states import State
from respoold.io.registration import report
from respoold.tasks import notices
from respoold.tasks.voices import standing
from unit.tasks.kit import FakeHub, People, a_keeper, granted, log, people


@pytest.fixture
def who() -> Iterator[People]:
    with people() as made:
        yield made


@pytest.fixture
def spool(tmp_path: Path) -> str:
    return str(tmp_path / "spool")


async def test_a_notice_for_the_node_reaches_every_trainer_and_the_hub_and_can_be_withdrawn(
    spool: str, who: People
) -> None:
    hub = FakeHub()
    async with a_keeper(spool, hub) as keeper:
        hub.answers = [{}, {"attempt_id": "cd" * 16}]
        one, other = (
            await granted(keeper, who.ask()),
            await granted(keeper, who.ask(run_id="s", original_id="s")),
        )
        said = list[Any]()
        for found in (one, other):
            keeper.voices.add(found.attempt.id, 0, lambda message, *_: said.append(message))
        notices.notice(keeper, "spot", 90.0)
        notices.notice(keeper, "spot", 90.0)
        assert [(note.code, note.data["source"], note.data["deadline"]) for note in said] == [
            ("preempting", "spot", 90.0)
        ] * 2
        assert one.attempt.state is State.PREEMPTING
        await report(hub, one.attempt)  # type: ignore[arg-type]
        notices.withdraw(keeper, "spot")
        assert [note.code for note in said[2:]] == ["withdrawn"] * 2
        await report(hub, one.attempt)  # type: ignore[arg-type]
        assert [(said.event, said.source, said.deadline) for _, said in hub.told] == [
            ("notice", "spot", 90.0),
            ("withdrawn", "spot", 0.0),
        ]
        assert one.attempt.state is State.RUNNING


async def test_a_notice_for_one_attempt_is_that_ones_alone(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        one, other = (
            await granted(keeper, who.ask()),
            await granted(keeper, who.ask(run_id="s", original_id="s")),
        )
        notices.notice(keeper, "queue", 0.0, [one.attempt])
        assert [bool(found.attempt.notices) for found in (one, other)] == [True, False]
        assert not keeper.board


async def test_a_notice_does_not_wait_for_the_pause_of_what_failed_before(spool: str, who: People) -> None:
    async with a_keeper(spool, FakeHub()) as keeper:
        found = await granted(keeper, who.ask())
        uplink = keeper.uplink_of(found.attempt)
        assert uplink is not None
        stream = Stream(Priority.STATE, found.attempt.id)
        uplink.schedule.take(0.0)
        uplink.schedule.failed(stream, 0.0, 1.0, 60.0)
        assert uplink.schedule.take(1.0) == []
        notices.notice(keeper, "spot")
        assert uplink.schedule.take(1.0) == [stream]


async def test_a_restart_keeps_notices_and_a_run_that_begins_later_hears_of_them(
    spool: str, who: People
) -> None:
    async with a_keeper(spool) as keeper:
        await granted(keeper, who.ask())
        notices.notice(keeper, "spot", time.time() + 90)
    async with a_keeper(spool) as keeper:
        notices.load(keeper)
        (attempt,) = keeper.node
        assert [note.code for note in standing(attempt)] == ["preempting"]
        found = await granted(keeper, who.ask(run_id="s", original_id="s"))
        assert [note.data["source"] for note in standing(found.attempt)] == ["spot"]


async def test_who_outlives_the_deadline_was_spared(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        found = await granted(keeper, who.ask())
        now = time.time()
        notices.notice(keeper, "spot", now + 10)
        notices.expire(keeper, now + GRACE)
        assert found.attempt.notices
        notices.expire(keeper, now + GRACE + 11)
        assert not found.attempt.notices
        assert not keeper.board


async def test_who_ended_under_a_notice_was_preempted_though_it_is_withdrawn_later(
    spool: str, who: People
) -> None:
    async with a_keeper(spool) as keeper:
        found = await granted(keeper, who.ask())
        notices.notice(keeper, "spot")
        log(keeper, found, kind=Kind.STATE, value={"state": "ended", "exit_code": 0, "reason": "exit"})
        notices.withdraw(keeper, "spot")
        assert found.attempt.state is State.PREEMPTED


async def test_a_board_that_cannot_be_read_is_empty(spool: str) -> None:
    async with a_keeper(spool) as keeper:
        for text in ("[1]", "{", '{"spot": 5}', '{"spot": ["soon"]}'):
            Path(keeper.root, notices.FILE).write_text(text)
            notices.load(keeper)
            assert not keeper.board
