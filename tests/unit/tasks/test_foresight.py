"""Preemption notices in a daemon: whom they reach, and what a restart and an end make of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from respool.wire.frames import Kind
from respoold.core.bulletin import Bulletin
from respoold.core.notice import Foreseen, Withdrawn
from respoold.core.schedule import Priority, Stream
from respoold.core.states import State
from respoold.io.registration import report
from respoold.tasks.foresight import Foresight, shut_down, sources
from respoold.tasks.voices import standing
from unit.tasks.kit import FakeHub, People, a_keeper, granted, log, people


@pytest.fixture
def who() -> Iterator[People]:
    with people() as made:
        yield made


@pytest.fixture
def spool(tmp_path: Path) -> str:
    return str(tmp_path / "spool")


async def test_a_notice_reaches_every_trainer_and_the_hub_and_can_be_withdrawn(
    spool: str, who: People
) -> None:
    hub = FakeHub()
    async with a_keeper(spool, hub) as keeper:
        hub.answers = [{}, {"attempt_id": "cd" * 16}]
        found = [
            await granted(keeper, who.ask()),
            await granted(keeper, who.ask(run_id="s", original_id="s")),
        ]
        said = list[Any]()
        for one in found:
            keeper.voices.add(one.attempt.id, 0, lambda message, *_: said.append(message))
        foresight = Foresight(keeper)
        for _ in range(2):
            foresight.heard(Foreseen("spot", 90.0))
        assert [(note.code, note.data) for note in said] == [
            ("preempting", {"source": "spot", "deadline": 90.0})
        ] * 2
        attempt = found[0].attempt
        assert attempt.state is State.PREEMPTING
        await report(hub, attempt)  # type: ignore[arg-type]
        pace = keeper.uplink_of(attempt).pace  # type: ignore[union-attr]
        assert pace.lifted, "what does not leave now is lost"
        foresight.heard(Withdrawn("spot"))
        assert not pace.lifted
        assert [note.code for note in said[2:]] == ["withdrawn"] * 2
        await report(hub, attempt)  # type: ignore[arg-type]
        told = [(one.event, one.source, one.deadline) for _, one in hub.told]
        assert told == [("notice", "spot", 90.0), ("withdrawn", "spot", 0.0)]
        assert attempt.state is State.RUNNING


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({"cloud": "none"}, []),
        ({"cloud": "ec2"}, ["Ec2"]),
        ({"cloud": "gcp"}, ["Gcp"]),
        ({"cloud": "azure"}, ["Azure"]),
        ({"cloud": "none", "notice_file": "/x", "notice_command": ("true",)}, ["File", "Command"]),
        ({"cloud": "none", "slurm": True}, ["Slurm"]),
    ],
)
async def test_only_sources_that_are_configured_are_asked(
    spool: str, config: dict[str, Any], asked: list[str]
) -> None:
    async with a_keeper(spool, **config) as keeper:
        assert [type(one).__name__ for one in sources(keeper, Bulletin())] == asked


async def test_a_shutdown_that_is_switched_off_is_not_looked_for(
    spool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stops() -> bool:
        return True

    monkeypatch.setattr("respoold.io.notices.machine.stopping", stops)
    for wanted in (True, False):
        async with a_keeper(spool, shutdown=wanted) as keeper:
            assert await shut_down(keeper, Foresight(keeper)) is wanted


async def test_a_notice_does_not_wait_for_the_pause_of_what_failed_before(spool: str, who: People) -> None:
    async with a_keeper(spool, FakeHub()) as keeper:
        found = await granted(keeper, who.ask())
        uplink = keeper.uplink_of(found.attempt)
        assert uplink is not None
        stream = Stream(Priority.STATE, found.attempt.id)
        uplink.schedule.take(0.0)
        uplink.schedule.failed(stream, 0.0, 1.0, 60.0)
        assert uplink.schedule.take(1.0) == []
        Foresight(keeper).heard(Foreseen("spot"))
        assert uplink.schedule.take(1.0) == [stream]


async def test_a_restart_keeps_a_notice_for_who_comes_back(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        await granted(keeper, who.ask())
        Foresight(keeper).heard(Foreseen("spot", time.time() + 90))
    async with a_keeper(spool) as keeper:
        (attempt,) = keeper.node
        assert [note.code for note in standing(attempt)] == ["preempting"]


async def test_who_ended_under_a_notice_was_preempted_though_it_is_withdrawn_later(
    spool: str, who: People
) -> None:
    async with a_keeper(spool) as keeper:
        request = who.ask()
        found = await granted(keeper, request)
        foresight = Foresight(keeper)
        foresight.heard(Foreseen("spot"))
        log(keeper, found, kind=Kind.STATE, value={"state": "ended", "exit_code": 0, "reason": "exit"})
        foresight.heard(Withdrawn("spot"))
        assert found.attempt.state is State.PREEMPTED
