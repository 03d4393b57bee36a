"""The heartbeat's pace, with a hub whose absence is a knob and trio's clock in the test's hand."""

from __future__ import annotations

from pathlib import Path

import trio.testing

from respoold.core.errors import HubAway
from respoold.core.hubapi import Beat, BeatAnswer
from respoold.tasks.heartbeat import CAUGHT_UP_SECONDS, heartbeat_forever, speak_last
from respoold.tasks.uplink import Uplink
from unit.tasks.kit import ME, FakeHub, a_keeper, granted, people


class Pulse(FakeHub):
    """Knob: `away`. Records: `beats`, their times, and `heard`, what they told."""

    def __init__(self, *, away: bool) -> None:
        super().__init__()
        self.away = away
        self.beats: list[float] = []
        self.heard: list[Beat] = []

    async def heartbeat(self, beat: Beat) -> BeatAnswer:
        self.heard.append(beat)
        self.beats.append(trio.current_time())
        if self.away:
            raise HubAway("no answer")
        return BeatAnswer("hub-1")

    def shown(self, _credential: object) -> Pulse:
        return self


async def beating(tmp_path: Path, hub: Pulse, act: object) -> None:
    async with a_keeper(str(tmp_path), hub, heartbeat=5.0) as keeper, trio.open_nursery() as nursery:
        uplink = keeper.uplinks.of(ME, None)
        assert uplink is not None
        nursery.start_soon(heartbeat_forever, keeper, uplink)
        await trio.testing.wait_all_tasks_blocked()
        await act(uplink)  # type: ignore[operator]
        nursery.cancel_scope.cancel()


async def test_an_outage_that_another_request_ends_before_the_first_beat_was_answered_is_ridden_out(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    hub = Pulse(away=True)

    async def ends(uplink: Uplink) -> None:
        assert len(hub.beats) == 1
        hub.away = False
        uplink.answered()
        uplink.pulse.ring()
        await trio.sleep(6)

    await beating(tmp_path, hub, ends)
    assert len(hub.beats) >= 2


async def test_news_for_other_nodes_do_not_wait_for_the_next_beat(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    hub = Pulse(away=False)

    async def tells(uplink: Uplink) -> None:
        uplink.beat_soon()
        await trio.sleep(CAUGHT_UP_SECONDS + 0.1)

    await beating(tmp_path, hub, tells)
    assert len(hub.beats) == 2
    assert hub.beats[1] - hub.beats[0] <= CAUGHT_UP_SECONDS + 0.1


async def test_a_complete_attempt_is_told_once_even_where_another_process_told_of_its_backlog(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    hub = Pulse(away=False)
    with people() as known:
        async with a_keeper(str(tmp_path), hub, heartbeat=5.0) as keeper:
            uplink = keeper.uplinks.of(ME, None)
            assert uplink is not None
            attempt = (await granted(keeper, known.ask())).attempt
            keeper.forget(attempt)
            for _ in range(2):
                uplink.settled(attempt)
                await speak_last(keeper)
    assert [beat.attempts[attempt.id]["pending_records"] for beat in hub.heard] == [0]
