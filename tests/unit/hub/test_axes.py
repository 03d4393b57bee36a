"""The second rewind axis at the hub: trainers that never name a step, whatever arrives when."""

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from respool.wire import codec
from respool.wire.axes import counts
from respool.wire.frames import EXPLICIT_STEP, Kind, encode, walk
from respool.wire.identity import FIRST_JOINED
from respool.wire.view import View
from respool_hub.service import reach
from respool_hub.service.reach import Reach, sampled
from respool_hub.service.story import tell
from unit.hub.kit import Desk, name, record, row

A, B, C = (name(number) for number in (1, 2, 3))
AXIS = "trainer/global_step"
fresh = iter(range(1 << 20, 1 << 30, 10))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Desk(tmp_path_factory.mktemp("axes") / "data")
    yield made
    made.close()


def life(first_step, numbers, who, axis=AXIS):
    """The records of an attempt that logs these numbers, one a row, and never names a step."""
    made = [record(Kind.SNAPSHOT, 0, {"config": {}, "summary": {}, "meta": {}, "last_step": None})]
    for at, number in enumerate(numbers):
        made.append(row(at + 1, first_step + at, **{axis: number, "who": who, f"only{who}": number}))
    return made


def plain(desk, run_id="run", axis=AXIS):
    return [(line.get(axis), line.get("who")) for line in map(json.loads, desk.lines(run_id))]


def send(desk, attempt, made, sizes=(7,), start=0):
    at, turn = start, 0
    while at < len(made):
        size = sizes[turn % len(sizes)]
        desk.append(attempt, at, b"".join(made[at : at + size]))
        at, turn = at + size, turn + 1


def test_a_trainer_killed_twice_behind_its_checkpoint_has_every_global_step_once(desk):
    desk.attach(A)
    send(desk, A, life(0, range(1235), 0), (100, 1, 33))
    answer = desk.attach(B, dead=[A])
    assert answer.resumed
    send(desk, B, life(1235, range(1001, 1151), 1))
    desk.attach(C, dead=[B])
    send(desk, C, life(1385, range(1101, 1501), 2))
    assert plain(desk) == [
        *((number, 0) for number in range(1001)),
        *((number, 1) for number in range(1001, 1101)),
        *((number, 2) for number in range(1101, 1501)),
    ]
    shown = desk.show()
    assert [one["cut"] for one in shown["attempts"]] == [None, 1001, 1335]
    assert [one["hidden"] for one in shown["attempts"]] == [234, 50, 0]
    assert (shown["summary"]["only0"], shown["summary"]["only1"]) == (1000, 1100)
    assert (shown["summary"][AXIS], shown["last_step"]) == (1500, 1784)
    assert len(desk.lines(every=True)) == 1235 + 150 + 400


def test_an_axis_counts_from_where_define_metric_names_it_and_is_inherited(desk):
    meta = {"metrics": {"*": {"step_metric": "tokens"}}}
    desk.attach(A)
    made = [record(Kind.META, 0, meta), *(row(at + 1, at, tokens=at * 100) for at in range(20))]
    send(desk, A, made)
    desk.attach(B, dead=[A])
    whole = {"config": {}, "summary": {}, "meta": meta, "last_step": None}
    again = [row(at + 1, 20 + at, tokens=(15 + at) * 100) for at in range(10)]
    send(desk, B, [record(Kind.SNAPSHOT, 0, whole), *again])
    assert [number for number, _ in plain(desk, axis="tokens")] == [at * 100 for at in range(25)]


def test_a_metric_that_nobody_named_as_an_axis_cuts_nothing(desk):
    desk.attach(A)
    send(desk, A, life(0, range(20), 0, "loss"))
    desk.attach(B, dead=[A])
    send(desk, B, life(20, range(5), 1, "loss"))
    assert len(plain(desk)) == 25


def test_who_names_steps_is_cut_by_them_alone(desk):
    desk.attach(A)
    send(desk, A, life(0, range(100), 0))
    desk.attach(B, dead=[A])
    named = encode(Kind.ROW, codec.pack({AXIS: 3}), seq=0, step=100, flags=EXPLICIT_STEP, time=1.0)
    desk.append(B, 0, named)
    assert [one["cut"] for one in desk.show()["attempts"]] == [None, 100]


def test_neither_joined_writers_nor_lesser_ones_cut_or_are_asked(desk):
    desk.attach(A)
    send(desk, A, life(0, range(10), 0))
    desk.append(A, 0, row(0, 0, **{AXIS: 9}), writer=3)
    desk.attach(B, dead=[A])
    desk.append(B, 0, row(0, 10, **{AXIS: 2}), writer=FIRST_JOINED + 1)
    assert [one["cut"] for one in desk.show()["attempts"]] == [None, None]
    desk.append(B, 0, row(0, 10, **{AXIS: 5}))
    desk.append(B, 0, row(0, 10, **{AXIS: 1}), writer=1)
    assert [one["cut"] for one in desk.show()["attempts"]] == [None, 5]


lives = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.integers(1, 5)), min_size=2, max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(lives, st.integers(1, 3), st.randoms(use_true_random=False))
def test_whatever_arrives_when_no_global_step_shows_twice(shared, monkeypatch, plans, every, chance):
    monkeypatch.setattr(reach, "APART", chance.choice([1, 8]))
    base = next(fresh)
    run_id, step, reached, expected = f"r{base}", 0, 0, []
    queues = []
    for index, (back, count, size) in enumerate(plans):
        first = max(0, reached - back)
        numbers = [number for number in range(first, first + count * every) if number % every == 0]
        attempt = name(base + index)
        shared.attach(attempt, run_id=run_id, dead=[one for one, *_ in queues])
        made = life(step, numbers, index)
        if (
            numbers
        ):  # the first batch says that it is more than a candidate, so that the next one continues it
            shared.append(attempt, 0, b"".join(made[:2]))
        queues.append((attempt, made, 2, size))
        expected = [one for one in expected if not numbers or one[0] < numbers[0]]
        expected += [(number, index) for number in numbers]
        step, reached = step + len(numbers), max([first, *numbers]) + 1
    while queues:
        attempt, made, at, size = queues.pop(chance.randrange(len(queues)))
        if at < len(made):
            shared.append(attempt, at, b"".join(made[at : at + size]))
            queues.append((attempt, made, at + size, size))
            plain(shared, run_id)  # asked in between, so that what is remembered is put to the test
    assert plain(shared, run_id) == expected
    assert shared.show(run_id)["summary"].get(AXIS) == (expected[-1][0] if expected else None)


rows_of_one = st.lists(
    st.tuples(st.integers(0, 30), st.none() | st.integers(-5, 30) | st.just(float("nan"))),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows_of_one, st.integers(0, 20), st.integers(1, 9))
def test_the_search_finds_what_reading_every_row_finds(shared, monkeypatch, plan, defined, size):
    monkeypatch.setattr(reach, "APART", 1)
    monkeypatch.setattr(reach, "DENSE", 1)
    attempt = name(next(fresh))
    run_id = f"s{attempt}"
    shared.attach(attempt, run_id=run_id)
    made, seq = [], 0
    for at, (step, number) in enumerate(plan):
        if at == defined:
            made.append(record(Kind.META, seq, {"metrics": {"a": {"step_metric": "n"}}}))
            seq += 1
        made.append(row(seq, step, **({"x": 1} if number is None else {"n": number})))
        seq += 1
    send(shared, attempt, made, (size,))
    counted, view = [], View()
    for one in made:
        frame, before = walk(one).frames[0], view.axes["n"].step if "n" in view.axes else -1
        value = codec.unpack(frame.payload).get("n") if frame.kind == Kind.ROW else None
        view.apply(frame)
        if counts(value) and "n" in view.axes and frame.step >= before:
            counted.append((frame.step, value))

    def ask(reader):
        run = reader.run("anna", "p", run_id)
        asked = Reach(reader, tell(reader, run.id, attempt).writers)
        return {value: asked.step(attempt, "n", value) for value in range(-6, 32)}

    naive = {
        value: next((step for step, number in counted if number >= value), None) for value in range(-6, 32)
    }
    assert shared.read(ask) == naive


def test_samples_are_dense_at_the_end_and_few():
    view, samples, seq = View(), [], 0
    for _ in range(40_000):
        if view.rows:
            samples = sampled(samples, seq, view.axes)
        view.apply(walk(row(seq, seq, **{AXIS: seq})).frames[0])
        seq += 256
    assert len(samples) < 100
    gaps = [(seq - one.seq, (two.seq - one.seq)) for one, two in pairwise(samples)]
    assert all(gap <= max(512, distance / 3) for distance, gap in gaps)
    assert samples[0].seq <= 40_000 * 256 / 2


def test_a_reader_of_the_tail_decodes_few_batches_and_the_next_one_none(desk):
    desk.attach(A)
    send(desk, A, life(0, range(40_000), 0), (400,))
    desk.attach(B, dead=[A])
    send(desk, B, life(40_000, range(39_500, 39_900), 1))
    counted = Counting()

    def look(reader):
        run = reader.run("anna", "p", "run")
        return tell(counted.of(reader), run.id, run.head).cuts[B]

    assert (desk.read(look), counted.decoded <= 5) == (39_500, True)
    counted.decoded = 0
    assert (desk.read(look), counted.decoded) == (39_500, 0)


class Counting:
    """A reader that counts the batches it hands out."""

    decoded = 0

    def of(self, reader):
        self._reader = reader
        return self

    def __getattr__(self, name):
        return getattr(self._reader, name)

    def batch(self, batch):
        self.decoded += 1
        return self._reader.batch(batch)
