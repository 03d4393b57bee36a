"""The schedule: most urgent first, fair between runs, nothing in flight twice, nothing forgotten."""

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from respoold.core.backoff import CAP_SECONDS
from respoold.core.schedule import BULK, SLOTS, Priority, Schedule, Stream


def state(name: str) -> Stream:
    return Stream(Priority.STATE, name)


def rows(name: str, writer: int = 0) -> Stream:
    return Stream(Priority.ROWS, name, writer)


def files(name: str) -> Stream:
    return Stream(Priority.FILES, name)


def checkpoints(name: str) -> Stream:
    return Stream(Priority.CHECKPOINTS, name)


KINDS = (state, rows, files, checkpoints)


def a_schedule(*streams: Stream) -> Schedule:
    schedule = Schedule()
    for stream in streams:
        schedule.offer(stream)
    return schedule


def test_states_go_before_rows_and_rows_before_files_and_those_before_checkpoints() -> None:
    schedule = a_schedule(checkpoints("a"), files("a"), rows("b"), state("c"), rows("a"))
    assert schedule.take(0.0) == [state("c"), rows("a"), rows("b"), files("a"), checkpoints("a")]


def test_each_kind_has_slots_of_its_own() -> None:
    schedule = a_schedule(*[kind(f"a{number}") for kind in KINDS for number in range(10)])
    taken = schedule.take(0.0)
    assert {kind: sum(one.priority is kind for one in taken) for kind in SLOTS} == SLOTS
    assert schedule.take(0.0) == []
    schedule.done(taken[-1])
    assert [one.priority for one in schedule.take(0.0)] == [Priority.CHECKPOINTS]


def test_the_nearest_deadline_goes_first_and_nobody_elses_files_go_beside_it() -> None:
    schedule = a_schedule(*[kind(name) for kind in KINDS for name in "abcd"])
    schedule.hurry("d", 50.0)
    schedule.hurry("c", 0.0)
    found = [(one.priority, one.attempt_id) for one in schedule.take(0.0)]
    assert [name for kind, name in found if kind is Priority.STATE] == ["d", "c", "a", "b"]
    assert [name for kind, name in found if kind in BULK] == ["d", "c", "d", "c"]
    schedule.hurry("c", None)
    schedule.done(files("d"))
    schedule.done(checkpoints("d"))
    assert {one.attempt_id for one in schedule.take(0.0) if one.priority in BULK} == {"a"}


def test_what_is_in_flight_is_overtaken_only_by_who_has_a_deadline_and_something_to_send() -> None:
    schedule = a_schedule(files("a"), checkpoints("a"), rows("a"))
    schedule.take(0.0)
    schedule.hurry("b", 50.0)
    assert schedule.overtaken(0.0) == []
    schedule.offer(checkpoints("b"))
    assert set(schedule.overtaken(0.0)) == {files("a"), checkpoints("a")}
    assert schedule.take(0.0) == [checkpoints("b")]
    schedule.failed(checkpoints("b"), 0.0, 1.0, 10.0)
    assert schedule.overtaken(1.0) == []
    schedule.forget("b")
    assert schedule.overtaken(11.0) == []


def test_no_more_are_taken_than_allowed() -> None:
    schedule = a_schedule(state("a"), rows("a"), files("a"))
    assert schedule.take(0.0, allow=1) == [state("a")]
    assert schedule.take(0.0, allow=0) == []


def test_a_stream_in_flight_is_not_taken_again_but_what_came_meanwhile_is_not_lost() -> None:
    schedule = a_schedule(rows("a"))
    assert schedule.take(0.0) == [rows("a")]
    schedule.offer(rows("a"))
    assert schedule.take(0.0) == []
    schedule.done(rows("a"))
    assert schedule.take(0.0) == [rows("a")]
    schedule.done(rows("a"))
    assert schedule.idle


def test_the_run_that_was_served_longest_ago_comes_first() -> None:
    schedule = a_schedule(rows("a"), rows("b"), rows("c"))
    order = []
    for _ in range(9):
        (taken,) = schedule.take(0.0, allow=1)
        order.append(taken.attempt_id)
        schedule.done(taken)
        schedule.offer(taken)
    assert order == ["a", "b", "c"] * 3


def test_a_run_with_many_writers_does_not_crowd_out_one_with_one() -> None:
    many = [rows("many", writer) for writer in range(20)]
    schedule = a_schedule(*many)
    busy = schedule.take(0.0)
    schedule.offer(rows("one"))
    schedule.done(busy[0])
    assert schedule.take(0.0) == [rows("one")]


def test_a_stream_that_failed_waits_longer_each_time_and_only_itself() -> None:
    schedule, now = a_schedule(rows("a")), 0.0
    pauses = []
    for _ in range(10):
        assert schedule.take(now) == [rows("a")]
        schedule.failed(rows("a"), now, 1.0)
        assert schedule.take(now) == []
        wake = schedule.wake_at(now)
        pauses.append(wake - now)
        now = wake
    assert pauses == [min(2.0**count, CAP_SECONDS) for count in range(10)]
    schedule.offer(rows("b"))
    assert schedule.take(now - 1) == [rows("b")]


def test_a_success_makes_the_next_failure_the_first_again() -> None:
    schedule = a_schedule(rows("a"))
    for now in range(0, 1000, 200):
        schedule.take(float(now))
        schedule.failed(rows("a"), float(now), 1.0)
    schedule.take(5000.0)
    schedule.done(rows("a"))
    schedule.offer(rows("a"))
    schedule.take(5000.0)
    schedule.failed(rows("a"), 5000.0, 1.0)
    assert schedule.wake_at(5000.0) == 5001.0


def test_a_server_that_names_its_time_is_believed() -> None:
    schedule = a_schedule(rows("a"))
    schedule.take(0.0)
    schedule.failed(rows("a"), 0.0, 0.5, retry_after=30.0)
    assert schedule.wake_at(0.0) == 30.0


def test_offering_does_not_shorten_a_pause_but_haste_ends_all_of_them() -> None:
    schedule = a_schedule(rows("a"), files("b"))
    for stream in schedule.take(0.0):
        schedule.failed(stream, 0.0, 1.0)
    schedule.offer(rows("a"))
    assert schedule.take(0.5) == []
    schedule.hasten()
    assert schedule.take(0.5) == [rows("a"), files("b")]


def test_a_forgotten_attempt_leaves_nothing_behind() -> None:
    schedule = a_schedule(rows("a"), files("a"), rows("b"))
    (flying,) = schedule.take(0.0, allow=1)
    schedule.forget("a")
    schedule.done(flying)
    assert schedule.take(0.0) == [rows("b")]
    schedule.done(rows("b"))
    assert (schedule.idle, schedule.wake_at(0.0)) == (True, inf)


def test_nobody_waiting_means_no_time_to_wake() -> None:
    assert a_schedule().wake_at(5.0) == inf
    assert a_schedule(rows("a")).wake_at(5.0) == inf


class AnySequence(RuleBasedStateMachine):
    """Whatever is called in whatever order: work is in flight once, within its slots, and never forgotten."""

    streams = st.builds(Stream, st.sampled_from(Priority), st.sampled_from("abc"), st.integers(0, 2))

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule()
        self.now = 0.0
        self.due: set[Stream] = set()
        self.flying: set[Stream] = set()

    @rule(stream=streams)
    def offer(self, stream: Stream) -> None:
        self.schedule.offer(stream)
        self.due.add(stream)

    @rule(allow=st.none() | st.integers(0, 3))
    def take(self, allow: int | None) -> None:
        taken = self.schedule.take(self.now, allow)
        assert len(set(taken)) == len(taken)
        assert not set(taken) & self.flying
        assert set(taken) <= self.due
        self.due -= set(taken)
        self.flying |= set(taken)

    @rule(data=st.data(), works=st.booleans(), jitter=st.floats(0, 1, exclude_max=True))
    def answer(self, data: st.DataObject, works: bool, jitter: float) -> None:
        if not self.flying:
            return
        stream = data.draw(st.sampled_from(sorted(self.flying)))
        self.flying.discard(stream)
        if works:
            self.schedule.done(stream)
        else:
            self.schedule.failed(stream, self.now, jitter)
            self.due.add(stream)

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def stays_within_its_slots(self) -> None:
        assert all(sum(one.priority is kind for one in self.flying) <= most for kind, most in SLOTS.items())

    @invariant()
    def knows_whether_it_is_idle(self) -> None:
        assert self.schedule.idle == (not self.due and not self.flying)

    def teardown(self) -> None:
        for stream in self.flying:
            self.schedule.done(stream)
        self.flying = set()
        for _ in range(30):
            for stream in self.schedule.take(self.now + 1e6):
                self.due.discard(stream)
                self.schedule.done(stream)
        assert not self.due
        assert self.schedule.idle


AnySequence.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
test_any_sequence_of_calls_keeps_the_schedules_promises = AnySequence.TestCase
