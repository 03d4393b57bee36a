"""What the daemon makes of a `respool run` that speaks for processes which have ended already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from respool.wire.frames import Kind
from respool.wire.messages import Foretold
from respoold.core.attempt import Attempt
from respoold.io.socket import Peer
from respoold.tasks.keeper import Keeper
from respoold.tasks.warden import DONE_SECONDS, RECENT_SECONDS, Warden
from unit.tasks.kit import ME, FakeHub, People, a_keeper, granted, log, people

JOB = "slurm:mini:7"


@pytest.fixture
def who() -> Iterator[People]:
    with people() as made:
        yield made


@pytest.fixture
def spool(tmp_path: Path) -> str:
    return str(tmp_path / "spool")


async def dead(keeper: Keeper, who: People, *above: int, ago: float = 0.0, **more: Any) -> Attempt:
    """An attempt whose process ended so many seconds ago."""
    request = who.ask(**more)
    attempt = (await granted(keeper, request)).attempt
    who.kill(request)
    attempt.writers[0].above = frozenset(above)
    attempt.writers[0].died_at = trio.current_time() - ago
    keeper.died(attempt, 0)
    for reader in keeper.readers_of(attempt):
        while keeper.look(reader):
            pass
    assert attempt.state == "crashed"
    return attempt


def warden(keeper: Keeper, uid: int = ME) -> Warden:
    """Of a `respool run` that is this process."""
    return Warden(keeper, Peer(os.getpid(), uid, 0))


async def test_who_died_of_a_preemption_before_it_was_told_was_preempted(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        attempt = await dead(keeper, who, os.getpid())
        said = await warden(keeper).foretold(Foretold("signal SIGTERM", 0.0))
        assert attempt.state == "preempted"
        assert said.states == {"p/r": "preempted"}


@pytest.mark.parametrize(("ago", "state"), [(DONE_SECONDS - 1, "preempted"), (DONE_SECONDS + 1, "finished")])
async def test_who_had_ended_with_0_was_preempted_only_if_that_was_just_now(
    spool: str, who: People, ago: float, state: str
) -> None:
    async with a_keeper(spool) as keeper:
        request = who.ask()
        found = await granted(keeper, request)
        log(keeper, found, 1)
        log(keeper, found, 1, kind=Kind.STATE, value={"state": "ended", "exit_code": 0, "reason": "exit"})
        attempt = found.attempt
        who.kill(request)
        attempt.writers[0].above = frozenset({os.getpid()})
        attempt.writers[0].died_at = trio.current_time() - ago
        keeper.died(attempt, 0)
        assert attempt.state == "finished"
        one = warden(keeper)
        one._ended.add(attempt.id)
        await one.foretold(Foretold("signal SIGTERM", 0.0))
        assert attempt.state == state


async def test_so_was_a_task_of_the_same_job_that_no_parent_links_to_it(spool: str, who: People) -> None:
    async with a_keeper(spool) as keeper:
        attempt = await dead(keeper, who, identity=JOB)
        await warden(keeper).foretold(Foretold("signal SIGTERM", 0.0, JOB))
        assert attempt.state == "preempted"


@pytest.mark.parametrize(
    ("above", "more", "job", "uid"),
    [
        (os.getpid(), {"ago": RECENT_SECONDS + 1}, "", ME),
        (1, {}, "", ME),
        (1, {"identity": "slurm:mini:8"}, JOB, ME),
        (os.getpid(), {"identity": JOB}, JOB, ME + 1),
    ],
    ids=["long ago", "another's child", "another job", "another user"],
)
async def test_a_death_long_ago_or_of_somebody_else_is_what_it_was(
    spool: str, who: People, above: int, more: dict[str, Any], job: str, uid: int
) -> None:
    async with a_keeper(spool) as keeper:
        attempt = await dead(keeper, who, above, **more)
        said = await warden(keeper, uid).foretold(Foretold("signal SIGTERM", 0.0, job))
        assert attempt.state == "crashed"
        assert said.states == {}


async def test_of_one_that_was_let_go_the_hub_is_told(spool: str, who: People) -> None:
    hub = FakeHub()
    async with a_keeper(spool, hub) as keeper:
        attempt = await dead(keeper, who, os.getpid())
        uplink = keeper.uplink_of(attempt)
        assert uplink is not None
        uplink.door_of = lambda _: hub  # type: ignore[assignment,method-assign,return-value]
        keeper.forget(attempt)
        await warden(keeper).foretold(Foretold("signal SIGTERM", 5e9))
        assert [(one.event, one.source, one.deadline) for _, one in hub.told] == [
            ("notice", "signal SIGTERM", 5e9)
        ]
