import json
from itertools import pairwise

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from respool.wire import codec
from respool.wire.frames import Kind, encode, walk
from respool.wire.view import View
from respoold.core.lineage import Link, visible
from unit.hub.kit import Desk, name, record, row, rows

A, B, C = (name(number) for number in (1, 2, 3))
fresh = iter(range(1000, 1 << 30, 10))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Desk(tmp_path_factory.mktemp("hub") / "data")
    yield made
    made.close()


WAYS = {
    "low": "min",
    "high": "max",
    "hush": "none",
    "one": "first",
    "both": "min,max,first,last",
    "avg": "mean",
}
METRICS = {name: {"summary": how} for name, how in WAYS.items()}
values = st.dictionaries(
    st.sampled_from(["loss", "acc", *WAYS]),
    st.integers(-50, 50),
    min_size=1,
    max_size=4,
)
changes = st.fixed_dictionaries(
    {
        "set": st.dictionaries(
            st.sampled_from(["best", "loss", "low", "one", "both", "avg"]), st.integers(-50, 50), max_size=2
        )
    },
    optional={"unset": st.lists(st.sampled_from(["best", "acc"]), max_size=1)},
)
one_row = st.tuples(st.just("row"), st.integers(0, 30), values)
one_change = st.tuples(st.just("summary"), st.just(0), changes)
attempt_records = st.lists(st.one_of(one_row, one_row, one_row, one_change), min_size=1, max_size=25)
attempt_plan = st.tuples(attempt_records, st.booleans(), st.lists(st.integers(1, 25), max_size=4))
story_plan = st.lists(attempt_plan, min_size=1, max_size=4)


def frames_of(plan, metrics, inherited):
    records, late_first, _ = plan
    if late_first:
        records = sorted(records, key=lambda item: item[1])
    head = {
        "config": {},
        "summary": inherited,
        "meta": {"metrics": metrics} if metrics else {},
        "last_step": None,
    }
    made = [record(Kind.SNAPSHOT, 0, head)]
    for seq, (kind, step, value) in enumerate(records, 1):
        if kind == "row":
            made.append(record(Kind.ROW, seq, value, step))
        else:
            made.append(record(Kind.SUMMARY, seq, value))
    return made


def upload(desk, attempt, made, cuts):
    bounds = sorted({0, len(made), *(cut for cut in cuts if cut < len(made))})
    for start, end in pairwise(bounds):
        desk.append(attempt, start, b"".join(made[start:end]))


class Naive:
    """All frames of all attempts in one list, folded in the plainest way."""

    def __init__(self, attempts):
        self.shown = []
        links = []
        for index, (attempt, made) in enumerate(attempts):
            found = [frame for one in made for frame in walk(one).frames]
            steps = [frame.step for frame in found if frame.kind == Kind.ROW]
            parent = attempts[index - 1][0] if index else None
            links.append(Link(attempt, parent, tuple(steps[:2]), max(steps, default=-(1 << 63))))
        for (_, made), part in zip(attempts, visible(links), strict=True):
            for one in made:
                frame = walk(one).frames[0]
                if frame.kind != Kind.ROW or part.limit is None or frame.step < part.limit:
                    self.shown.append(frame)

    def history(self):
        merged = {}
        for frame in self.shown:
            if frame.kind == Kind.ROW:
                line = merged.setdefault(frame.step, {})
                line.update(codec.unpack(frame.payload))
        return [(step, merged[step]) for step in sorted(merged)]

    def summary(self, metrics):
        view = View()
        view.meta = {"metrics": metrics}
        for frame in self.shown:
            if frame.kind != Kind.SNAPSHOT:
                view.apply(frame)
        return view.summary


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(story_plan, st.booleans())
def test_history_and_summary_are_the_plain_fold_of_what_is_visible(shared, plans, with_metrics):
    metrics = METRICS if with_metrics else {}
    base = next(fresh)
    run_id = f"h{base}"
    attempts = []
    for index, plan in enumerate(plans):
        attempt = name(base + index)
        dead = [known for known, _ in attempts]
        shared.attach(attempt, run_id=run_id, dead=dead)
        made = frames_of(plan, metrics, {"loss": 1e9} if index else {})
        upload(shared, attempt, made, plan[2])
        if any(item[0] == "row" for item in plan[0]):
            attempts.append((attempt, made))
        elif not attempts:
            return
    naive = Naive(attempts)
    lines = [json.loads(line) for line in shared.lines(run_id)]
    plain = [(line["_step"], {k: v for k, v in line.items() if k[0] != "_"}) for line in lines]
    assert plain == naive.history()
    shown, expected = shared.show(run_id)["summary"], naive.summary(metrics)
    assert shown.pop("avg", None) == pytest.approx(expected.pop("avg", None))
    assert shown == expected
    total = sum(item[0] == "row" for plan in plans for item in plan[0])
    every = [json.loads(line) for line in shared.lines(run_id, every=True)]
    assert len(every) == total
    hidden = sum("_hidden" in line for line in every)
    assert total - hidden == sum(frame.kind == Kind.ROW for frame in naive.shown)


def test_a_rewind_three_times_over_is_one_continuous_history(desk):
    steps = 0
    for attempt in range(4):
        desk.attach(name(attempt + 1), dead=[name(attempt)])
        for first in range(0, 300, 50):
            desk.append(
                name(attempt + 1),
                first,
                rows(first, range(steps + first, steps + first + 50), attempt=attempt),
            )
        steps += 200
    lines = [json.loads(line) for line in desk.lines()]
    assert [line["_step"] for line in lines] == list(range(900))
    assert [line["attempt"] for line in lines] == [0] * 200 + [1] * 200 + [2] * 200 + [3] * 300
    assert len(desk.lines(every=True)) == 1200
    assert [one["cut"] for one in desk.show()["attempts"]] == [None, 200, 400, 600]


def test_a_late_row_first_cuts_nothing(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(10)))
    desk.attach(B, dead=[A])
    desk.append(B, 0, row(0, 3, late=1.0) + rows(1, range(10, 15)))
    lines = [json.loads(line) for line in desk.lines()]
    assert [line["_step"] for line in lines] == list(range(15))
    assert (lines[3]["loss"], lines[3]["late"]) == (3.0, 1.0)


def test_runtime_counts_from_the_first_record_of_the_run(desk):
    desk.attach(A)
    desk.append(A, 0, record(Kind.SNAPSHOT, 0, {}, time=500.0) + row(1, 0, time=502.0))
    desk.attach(B, dead=[A])
    desk.append(B, 0, row(0, 1, time=600.5))
    lines = [json.loads(line) for line in desk.lines()]
    assert [(line["_runtime"], line["_timestamp"]) for line in lines] == [(2.0, 502.0), (100.5, 600.5)]


def test_the_primarys_keys_win_over_other_writers(desk):
    desk.attach(A)
    desk.append(A, 0, row(0, 0, a=1, c=1), writer=0)
    desk.append(A, 0, row(0, 0, a=2, b=2), writer=3)
    desk.append(A, 1, row(1, 1, a=9), writer=3)
    lines = [json.loads(line) for line in desk.lines()]
    assert [(line.get("a"), line.get("b"), line.get("c")) for line in lines] == [(1, 2, 1), (9, None, None)]


def test_steps_and_keys_can_be_asked_for(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(100)) + row(100, 100, other=1))
    assert len(desk.lines(min_step=10, max_step=19)) == 10
    only = [json.loads(line) for line in desk.lines(keys=frozenset({"other"}))]
    assert only == [{"_step": 100, "_timestamp": 1100.0, "_runtime": 100.0, "other": 1}]


def test_lines_are_strict_json_with_flat_keys_and_ours_cannot_be_replaced(desk):
    desk.attach(A)
    odd = {
        "a": {"b": {"c": float("nan")}, "d": {}},
        "e": float("-inf"),
        "f": b"\x00\xff",
        "_step": 77,
        5: [float("inf")],
    }
    desk.append(A, 0, record(Kind.ROW, 0, odd, step=4))

    def never(text):
        raise AssertionError(text)

    line = json.loads(desk.lines()[0], parse_constant=never)
    assert line["_step"] == 4
    assert (line["a.b.c"], line["a.d"], line["e"], line["f"], line["5"]) == (
        "NaN",
        {},
        "-Infinity",
        "AP8=",
        ["Infinity"],
    )


def test_a_reference_to_media_is_one_value(desk):
    desk.attach(A)
    page = {"_type": "html-file", "path": "media/html/x.html", "size": 1}
    desk.append(A, 0, record(Kind.ROW, 0, {"val": {"page": page, "n": 1}}, step=4))
    line = json.loads(desk.lines()[0])
    assert (line["val.page"], line["val.n"]) == (page, 1)


def test_a_loss_then_a_snapshot_restores_what_was_lost(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(3)))
    whole = {"config": {"lr": 1}, "summary": {"loss": 0.5, "best": 7}, "meta": {}, "last_step": 41}
    desk.append(A, 3, record(Kind.LOSS, 3, {"reason": "x"}, span=5) + record(Kind.SNAPSHOT, 8, whole))
    shown = desk.show()
    assert (shown["summary"], shown["config"], shown["last_step"]) == (
        {"loss": 0.5, "best": 7},
        {"lr": 1},
        41,
    )


def test_a_childs_snapshot_does_not_bring_back_what_its_cut_hides(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(10)) + row(10, 10, only_late=1))
    desk.attach(B, dead=[A])
    whole = {"config": {}, "summary": {"loss": 9.0, "only_late": 1}, "meta": {}, "last_step": 10}
    desk.append(B, 0, record(Kind.SNAPSHOT, 0, whole) + row(1, 5, acc=0.5))
    shown = desk.show()
    assert (shown["summary"], shown["last_step"]) == ({"loss": 4.0, "acc": 0.5}, 5)


def test_config_is_the_old_updated_with_the_new(desk):
    desk.attach(A)
    desk.append(A, 0, record(Kind.CONFIG, 0, {"set": {"lr": 1, "old": 2, "gone": 3}}) + row(1, 0))
    desk.attach(B, dead=[A])
    desk.append(B, 0, record(Kind.CONFIG, 0, {"set": {"lr": 5}, "unset": ["gone"]}) + row(1, 1))
    assert desk.show()["config"] == {"lr": 5, "old": 2}
    assert desk.attach(C, dead=[B]).attempt.parent == B


def test_name_notes_and_tags_change_by_record(desk):
    desk.attach(A, meta={"name": "x", "notes": "n"})
    desk.append(A, 0, record(Kind.META, 0, {"name": "y", "metrics": {"a": {"summary": "max"}}}))
    desk.append(A, 1, record(Kind.META, 1, {"metrics": {"b": {"summary": "min"}}}))
    shown = desk.show()
    assert (shown["name"], shown["meta"]["notes"]) == ("y", "n")
    assert sorted(shown["meta"]["metrics"]) == ["a", "b"]


def test_a_row_that_cannot_be_read_is_counted_as_lost_and_one_with_odd_keys_is_shown(desk):
    desk.attach(A)
    odd = encode(Kind.ROW, msgpack.packb({1: 2, b"k": 3}), seq=1, step=1, time=1.0)
    bad = encode(Kind.ROW, codec.pack([1, 2]), seq=2, step=2, time=1.0)
    desk.append(A, 0, row(0, 0) + odd + bad)
    shown = desk.show()
    assert (shown["rows"], shown["lost"], shown["attempts"][0]["lost"]) == (2, 1, 1)
    assert '"1":2' in desk.lines()[1]
