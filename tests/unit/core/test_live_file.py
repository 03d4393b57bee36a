"""What a live file's snapshots become: told one by one, replaced, recorded by the trainer, or in its place."""

from __future__ import annotations

from respool.wire.file_messages import Changed
from respool.wire.settling import SETTLED_SECONDS, Stamp
from respoold.core.live_file import REST, LiveFile, Version

FIRST = Stamp(7, 5, 100)


def version(number: int) -> Version:
    return Version(f"t{number}", Stamp(7, 5, 100 + number), {"size": 5})


def a_file(*taken: int) -> LiveFile:
    made = LiveFile("/w/x", "x", "t0", FIRST)
    for number in taken:
        assert made.taken(version(number), 0.0, 0.0) == []
    return made


def told(one: LiveFile, *, again: bool = False) -> tuple[str, str] | None:
    news = one.news(again=again)
    assert news is None or isinstance(news, Changed)
    return None if news is None else (news.base, news.token)


def test_it_is_taken_once_it_has_looked_the_same_for_long_enough() -> None:
    one = a_file()
    assert not one.looked(FIRST, 0.0)
    new = version(1).stamp
    assert [one.looked(new, at) for at in (1.0, 2.9, 1.0 + SETTLED_SECONDS)] == [False, False, True]
    assert not one.looked(None, 9.0)
    one.taken(version(1), 0.0, 9.0)
    assert not one.looked(new, 99.0)
    assert not one.moving


def test_one_that_is_written_to_again_waits_anew_and_a_large_one_rests() -> None:
    one = a_file()
    assert not one.looked(version(1).stamp, 0.0)
    assert not one.looked(version(2).stamp, 1.5)
    assert not one.looked(version(2).stamp, 3.4)
    assert one.moving
    assert one.looked(version(2).stamp, 3.5)
    one.taken(version(2), 3.0, 3.5)
    for at in (4.0, 3.4 + 3 * REST):
        assert not one.looked(version(3).stamp, at)
    assert one.looked(version(3).stamp, 3.5 + 3 * REST)
    one.busy(100.0)
    assert not one.looked(version(3).stamp, 99.0)
    assert one.looked(version(3).stamp, 100.0)


def test_the_trainer_is_told_of_one_at_a_time_and_of_the_newest_when_it_has_recorded_that() -> None:
    one = a_file(1)
    assert told(one) == ("t0", "t1")
    assert told(one) is None
    assert told(one, again=True) == ("t0", "t1")
    assert one.taken(version(2), 0.0, 0.0) == []
    assert one.taken(version(3), 0.0, 0.0) == ["t2"], "nobody was told of it"
    assert told(one) is None
    assert one.held == ["t1", "t3"]
    one.recorded({"t1"})
    assert told(one) == ("t1", "t3")
    assert told(a_file()) is None


def test_a_dead_trainers_last_version_is_recorded_unless_it_saved_another() -> None:
    one = a_file(1)
    assert one.last("t0") == version(1)
    one.news()
    assert one.last("t0") == version(1)
    assert one.last("own") is None
    assert one.last(None) is None
    one.taken(version(2), 0.0, 0.0)
    assert one.last("t0") == version(2)
    assert one.last("t1") == version(2), "what it was told of it had recorded"
    one.recorded({"t1"})
    assert one.last("t1") == version(2)
    assert a_file().last("t0") is None


def test_without_room_it_is_looked_at_again_when_it_has_changed_again() -> None:
    one = a_file()
    one.passed(version(1).stamp)
    assert not one.looked(version(1).stamp, 9.0)
    assert not one.looked(version(2).stamp, 10.0)
    assert one.looked(version(2).stamp, 12.0)
