"""What a run is called after its end, by what was foreknown: a daemon that is restarted in the middle, and a hub that
hears of it from that daemon, both say the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from respool.wire import codec
from respool.wire.frames import Kind, encode
from respoold.core.attempt import Attempt
from respoold.core.notice import Foreseen, Withdrawn
from respoold.io.registration import report
from respoold.tasks.foresight import Foresight
from respoold.tasks.keeper import Keeper
from unit.hub.kit import Desk, FakeClock
from unit.tasks.kit import FakeHub, People, a_keeper, granted, people

ENDINGS = {
    "exit 0": {"state": "ended", "exit_code": 0, "reason": "exit"},
    "finish()": {"state": "ended", "exit_code": 0, "reason": "finish"},
    "exit 1": {"state": "ended", "exit_code": 1, "reason": "exception"},
    "gone": None,
}
TABLE = {
    "marked": ("finished", "finished", "preempted", "preempted"),
    "noticed": ("preempted", "finished", "preempted", "preempted"),
    "caught": ("preempted", "finished", "preempted", "preempted"),
    "marked and caught": ("finished", "finished", "preempted", "preempted"),
    "marked and noticed": ("finished", "finished", "preempted", "preempted"),
    "withdrawn": ("finished", "finished", "failed", "crashed"),
    "neither": ("finished", "finished", "failed", "crashed"),
}
RESTARTS = (
    "each time",
    *(
        pytest.param(one, marks=pytest.mark.slow)
        for one in ("never", "before the end", "while it ends", "after the end")
    ),
)
NIGHT = 36_000


class Life:
    """One run's process, of which the spool outlives any daemon."""

    def __init__(self, spool: str, who: People, ending: str) -> None:
        self.spool, self.who = spool, who
        self.request = who.ask(run_id=ending, original_id=ending, launch=ending)
        self.ending = ENDINGS[ending]
        self.hub = FakeHub()
        self.path = ""

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[tuple[Keeper, Attempt]]:
        """A daemon's life; it reads all that was written by the end of it."""
        async with a_keeper(self.spool, self.hub, heartbeat=0.2) as keeper:
            if not list(keeper.node):
                self.path = (await granted(keeper, self.request)).attempt.directory
            (attempt,) = keeper.node
            look(keeper, attempt)
            yield keeper, attempt
            look(keeper, attempt)
            await report(self.hub, attempt)  # type: ignore[arg-type]

    def write(self, keeper: Keeper, attempt: Attempt, value: dict[str, object]) -> None:
        """As the process does: whether a daemon looks or not."""
        reader = keeper.readers[attempt.id, 0]
        frame = encode(Kind.STATE, codec.pack(value), seq=reader.tail.next_seq, step=-1, time=0.0)
        with open(f"{self.path}/{segment(self.path)}", "r+b") as file:
            file.seek(reader.tail.offset)
            file.write(frame)

    def foreknow(self, keeper: Keeper, attempt: Attempt, what: str) -> None:
        foresight = Foresight(keeper)
        if "marked" in what:
            self.write(keeper, attempt, {"state": "preempting"})
            look(keeper, attempt)
        if "caught" in what:
            self.write(keeper, attempt, {"state": "preempting", "source": "signal SIGTERM"})
            look(keeper, attempt)
        if "noticed" in what or what == "withdrawn":
            foresight.heard(Foreseen("spot", 90.0))
        if what == "withdrawn":
            foresight.heard(Withdrawn("spot"))

    def end(self, keeper: Keeper, attempt: Attempt) -> None:
        if self.ending is not None:
            self.write(keeper, attempt, self.ending)
        self.who.kill(self.request)


def segment(path: str) -> str:
    """The writer's first."""
    return min(one.name for one in Path(path).iterdir() if one.name.startswith("w0-"))


def look(keeper: Keeper, attempt: Attempt) -> None:
    for reader in keeper.readers_of(attempt):
        while keeper.look(reader):
            pass


@pytest.fixture
def who() -> Iterator[People]:
    with people() as made:
        yield made


async def lived(life: Life, foreknown: str, restarted: str) -> str:
    """The daemon's word for it in the end."""
    often = restarted == "each time"
    async with life.daemon() as (keeper, attempt):
        life.foreknow(keeper, attempt, foreknown)
        if restarted == "while it ends":
            life.end(keeper, attempt)
        elif not often and restarted != "before the end":
            life.end(keeper, attempt)
            keeper.died(attempt, 0)
    if often or restarted == "before the end":
        async with life.daemon() as (keeper, attempt):
            assert str(attempt.state) == (
                "running" if foreknown in {"neither", "withdrawn"} else "preempting"
            )
            life.end(keeper, attempt)
            if not often:
                keeper.died(attempt, 0)
    if restarted in {"after the end", "while it ends", "each time"}:
        async with life.daemon() as (_, attempt):
            pass
    return str(attempt.state)


@pytest.mark.parametrize("restarted", RESTARTS)
@pytest.mark.parametrize("foreknown", TABLE)
async def test_the_table_of_ends_whenever_daemon_and_hub_are_restarted(
    tmp_path: Path, who: People, foreknown: str, restarted: str
) -> None:
    clock = FakeClock()
    desk = Desk(tmp_path / "hub", clock)
    found, heard = [], []
    for number, ending in enumerate(ENDINGS):
        life = Life(str(tmp_path / f"spool-{number}"), who, ending)
        found.append(await lived(life, foreknown, restarted))
        one = f"{number:032x}"
        desk.attach(one, f"run-{number}")
        for _, said in life.hub.told:
            if restarted != "never":
                desk.close()
                clock.advance(NIGHT)
                desk = Desk(tmp_path / "hub", clock)
            desk.report(one, **{**said._asdict(), "deadline": said.at + 90.0 if said.deadline else 0.0})
        heard.append(desk.show(f"run-{number}")["state"])
    desk.close()
    assert found == list(TABLE[foreknown])
    assert heard == found
