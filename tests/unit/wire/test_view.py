"""The fold of one attempt's records: step, config, summary, files and end."""

import math
from typing import Any

import pytest

from respool.wire import codec
from respool.wire.frames import NO_STEP, Frame, Kind
from respool.wire.summing import join_summary, merge_summary
from respool.wire.view import View


def a_view(*records: tuple[int, Any] | tuple[int, Any, int]) -> View:
    view = View()
    for seq, (kind, value, *step) in enumerate(records):
        payload = value if isinstance(value, bytes) else codec.pack(value)
        view.apply(Frame(seq, step[0] if step else NO_STEP, kind, 0, 1, 2.0 * seq, payload))
    return view


def test_a_view_of_nothing_says_so() -> None:
    view = a_view()
    assert (view.last_step, view.rows, view.state, view.cut) == (NO_STEP, 0, None, None)


def test_the_last_step_is_the_greatest_whatever_the_order() -> None:
    view = a_view((Kind.ROW, {"a": 1}, 5), (Kind.ROW, {"a": 2}, 9), (Kind.ROW, {"a": 3}, 7))
    assert (view.last_step, view.rows, view.first_steps, view.summary) == (9, 3, [5, 9], {"a": 3})


def test_a_summary_takes_min_max_last_or_nothing_as_defined() -> None:
    metrics = {
        "low": {"summary": "min"},
        "high": {"summary": "max"},
        "off": {"summary": "none"},
        "one": {"summary": "first"},
        "axis": {"step_metric": "n"},
    }
    rows = [
        {"low": 3, "high": 3, "off": 1, "one": 7, "axis": 1, "free": 1},
        {"low": 1, "high": 9, "off": 2, "one": 8, "axis": 2, "free": 2},
        {"low": 2, "high": 4, "off": 3, "axis": 3, "free": 3},
    ]
    view = a_view(
        (Kind.META, {"metrics": metrics}), *[(Kind.ROW, row, step) for step, row in enumerate(rows)]
    )
    assert view.summary == {"low": 1, "high": 9, "one": 7, "axis": 3, "free": 3}


@pytest.mark.parametrize(("how", "best"), [("min", 1.0), ("max", 5.0)])
def test_a_nan_on_the_way_does_not_make_a_summary_forget_its_best(how: str, best: float) -> None:
    summary: dict[str, Any] = {}
    for value in (1.0, 5.0, math.nan, "odd", True, 3.0):
        merge_summary(summary, {"loss": value}, {"loss": {"summary": how}})
    assert summary == {"loss": best}


def test_a_summary_that_began_with_nan_takes_the_first_number() -> None:
    summary: dict[str, Any] = {}
    for value in (math.nan, 4.0, 6.0):
        merge_summary(summary, {"loss": value}, {"loss": {"summary": "min"}})
    assert summary == {"loss": 4.0}


@pytest.mark.parametrize(
    "metrics",
    [None, {}, [], "x", {"loss": "min"}, {"loss": {"summary": ["min"]}}, {"loss": {"summary": None}}],
)
def test_definitions_that_are_none_leave_the_last_value(metrics: Any) -> None:
    summary: dict[str, Any] = {"loss": 1}
    merge_summary(summary, {"loss": 2}, metrics)
    assert summary == {"loss": 2}


def summed(how: str, *values: Any) -> Any:
    summary: dict[str, Any] = {}
    for value in values:
        merge_summary(summary, {"loss": value}, {"loss": {"summary": how}})
    return summary.get("loss")


def test_several_ways_and_a_mean_make_a_dict_that_passes_over_what_is_no_number() -> None:
    assert summed("min,max,last,first", 3, 1, math.nan, "odd", 5) == {
        "min": 1,
        "max": 5,
        "last": 5,
        "first": 3,
    }
    assert summed("mean", math.nan, 3, None, math.inf, 1, True, 10**400, 5) == {"mean": 3.0, "count": 3}
    assert summed("mean", math.nan) is None
    assert summed("min,not known here", 2, 1) == {"min": 1}


@pytest.mark.parametrize("how", ["min,max", "mean", "mean,first,last", "max,mean"])
def test_summaries_that_were_made_apart_join_to_the_one_of_all_their_rows(how: str) -> None:
    values = [3, 1, math.nan, 5, 8, 2]
    for cut in range(len(values) + 1):
        joined = {}
        for part in (values[:cut], values[cut:]):
            made = summed(how, *part)
            join_summary(joined, {} if made is None else {"loss": made}, {"loss": {"summary": how}})
        assert joined["loss"] == pytest.approx(summed(how, *values))


def test_a_mean_of_equal_values_is_that_value_however_many_there_are() -> None:
    assert summed("mean", *[0.1] * 1000) == {"mean": 0.1, "count": 1000}


@pytest.mark.parametrize(
    "known",
    [
        {"mean": "x", "count": 3},
        {"mean": 1.0, "count": True},
        {"mean": 1.0, "count": -1},
        {"count": 2},
        "x",
        [],
        4,
    ],
)
def test_what_is_no_mean_to_go_on_with_is_begun_again(known: Any) -> None:
    summary = {"loss": known}
    merge_summary(summary, {"loss": 2}, {"loss": {"summary": "mean"}})
    assert summary == {"loss": {"mean": 2.0, "count": 1}}


def test_a_number_that_was_known_before_its_ways_were_counts_for_least_and_greatest() -> None:
    summary: dict[str, Any] = {"loss": 4}
    merge_summary(summary, {"loss": 7}, {"loss": {"summary": "min,max,mean"}})
    assert summary == {"loss": {"min": 4, "max": 7, "mean": 7.0, "count": 1}}


def test_config_and_summary_are_set_and_unset() -> None:
    view = a_view(
        (Kind.CONFIG, {"set": {"lr": 1, "bs": 8}}),
        (Kind.CONFIG, {"set": {"lr": 2}, "unset": ["bs", "never was"]}),
        (Kind.SUMMARY, {"set": {"best": 9}}),
        (Kind.ROW, {"loss": 1}, 0),
        (Kind.SUMMARY, {"unset": ["loss"]}),
    )
    assert (view.config, view.summary) == ({"lr": 2}, {"best": 9})


def test_a_snapshot_replaces_all_but_never_goes_back_in_steps() -> None:
    snapshot = {"config": {"lr": 3}, "summary": {"s": 1}, "meta": {"name": "n"}, "last_step": 4}
    view = a_view((Kind.CONFIG, {"set": {"gone": 1}}), (Kind.ROW, {"x": 1}, 9), (Kind.SNAPSHOT, snapshot))
    assert (view.config, view.summary, view.meta, view.last_step) == ({"lr": 3}, {"s": 1}, {"name": "n"}, 9)
    assert a_view((Kind.SNAPSHOT, snapshot)).last_step == 4


def test_definitions_of_metrics_add_up_and_the_rest_of_meta_is_replaced() -> None:
    view = a_view(
        (Kind.META, {"tags": ["a"], "metrics": {"m": {}}}), (Kind.META, {"tags": ["b"], "metrics": {"n": {}}})
    )
    assert view.meta == {"tags": ["b"], "metrics": {"m": {}, "n": {}}}


def test_ends_cuts_marks_files_and_losses_are_taken_in() -> None:
    view = a_view(
        (Kind.STATE, {"state": "preempting"}),
        (Kind.CUT, {"step": 1000}),
        (Kind.FILE, {"name": "c.tar", "blob": "t", "size": 3}, 7),
        (Kind.FILE, {"name": "c.tar", "blob": "u", "size": 4}, 8),
        (Kind.STATE, {"state": "ended", "exit_code": 3}),
    )
    assert (view.preempting, view.cut, view.state, view.exit_code) == (True, 1000, "ended", 3)
    assert view.files == {
        "c.tar": {"name": "c.tar", "blob": "u", "size": 4, "seq": 3, "step": 8, "time": 6.0}
    }
    view.apply(Frame(5, NO_STEP, Kind.LOSS, 0, 40, 0.0, b"anything"))
    assert view.lost == 40


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "payload",
    [
        b"\xc1",
        b"\x91" * 10_000 + b"\xc0",
        codec.pack([1]),
        codec.pack({}),
        codec.pack(
            {
                "set": 1,
                "unset": "x",
                "step": "y",
                "state": [],
                "name": None,
                "metrics": 4,
                "config": [],
                "last_step": "z",
                "exit_code": "q",
            }
        ),
    ],
)
def test_a_payload_that_is_not_what_its_kind_says_is_passed_over(kind: Kind, payload: bytes) -> None:
    view = a_view((kind, payload, 3))
    assert (view.state, view.cut, view.files, view.config) == (None, None, {}, {})


def test_an_unknown_kind_is_passed_over() -> None:
    assert a_view((63, {"set": {"a": 1}})).config == {}


def test_facts_are_what_is_left_when_the_records_are_gone() -> None:
    view = a_view(
        (Kind.ROW, {"a": 1}, 5), (Kind.CUT, {"step": 2}), (Kind.STATE, {"state": "ended", "exit_code": 0})
    )
    later = View()
    later.take_facts(codec.unpack(codec.pack(view.facts())))
    assert later.facts() == view.facts()
    later.apply(Frame(3, 6, Kind.ROW, 0, 1, 0.0, codec.pack({"a": 2})))
    assert (later.rows, later.first_steps, view.first_steps) == (2, [5, 6], [5])
