"""define_metric(): ways to sum up, names that stand for several, and what a resume makes of them."""

from __future__ import annotations

import pytest

import respool
from fakes.daemon import frames_in
from respool.metrics import how_of, matched
from respool.wire.frames import Kind


def begin(**options):
    return respool.init(project="p", **{"mode": "spool", "id": "r", **options})


def kinds(run):
    frames = frames_in(run._keeper.attached.directory)
    return [frame.kind for frame in frames if frame.kind in {Kind.META, Kind.ROW}]


def test_every_way_to_sum_up_goes_on_after_a_resume():
    run = begin()
    for name in ("first", "min", "max", "last", "none"):
        run.define_metric(name, summary=name)
    for value in (3, 1, 5):
        run.log(dict.fromkeys(("first", "min", "max", "last", "none"), value))
    expected = {"first": 3, "min": 1, "max": 5, "last": 5}
    assert dict(run.summary) == expected
    run.finish(1)
    run = begin(resume="must")
    assert dict(run.summary) == expected
    run.log(dict.fromkeys(("first", "min", "max", "last", "none"), 4))
    assert dict(run.summary) == {**expected, "last": 4}


def test_a_mean_and_several_ways_are_a_dict_and_go_on_after_a_resume():
    run = begin()
    run.define_metric("loss", summary="mean")
    run.define_metric("acc", summary="min,max")
    for value in (3, 1, 5):
        run.log({"loss": value, "acc": value})
    assert (run.summary["loss"]["mean"], run.summary["acc"]["min"], run.summary.acc.max) == (3.0, 1, 5)
    run.finish(1)
    run = begin(resume="must")
    run.log({"loss": 7, "acc": 9})
    assert dict(run.summary) == {"loss": {"mean": 4.0, "count": 4}, "acc": {"min": 1, "max": 9}}


def test_a_name_with_a_star_defines_all_that_begin_so_before_their_first_row():
    run = begin()
    run.log({"val/early": 2, "train/loss": 1})
    run.define_metric("val/*", step_metric="epoch", summary="min")
    run.define_metric("val/acc", summary="max")
    for value in (5, 3, 4):
        run.log(
            {"val/early": value, "val/loss": value, "val/acc": value, "train/loss": value, "epoch": value}
        )
    expected = {"val/early": 2, "train/loss": 4, "val/loss": 3, "val/acc": 5, "epoch": 4}
    assert dict(run.summary) == expected
    kept = run._meta["metrics"]
    assert kept["val/loss"] == {"summary": "min", "step_metric": "epoch", "pattern": "val/*"}
    assert set(kept) == {"val/*", "val/acc", "val/early", "val/loss"}
    assert kinds(run) == [Kind.ROW, Kind.META, Kind.META, Kind.META, Kind.ROW, Kind.ROW, Kind.ROW]
    run.finish(1)
    run = begin(resume="must")
    run.log({"val/loss": 9, "val/new": 7, "val/acc": 1})
    run.log({"val/new": 8})
    assert dict(run.summary) == {**expected, "val/new": 7}


def test_a_star_that_is_defined_anew_changes_what_it_brought_and_nothing_else():
    run = begin()
    run.define_metric("*", summary="min")
    run.define_metric("own", summary="last")
    run.log({"a": 1, "own": 1})
    run.define_metric("*", summary="max")
    run.log({"a": 2, "own": 2})
    run.log({"a": 1, "own": 1})
    assert dict(run.summary) == {"a": 2, "own": 1}


def test_the_longest_star_counts_and_an_axis_is_not_its_own():
    definitions = {"*": {"step_metric": "epoch"}, "val/*": {"summary": "min"}}
    assert matched(definitions, ["epoch", "x", "val/x"]) == {
        "x": {"step_metric": "epoch", "pattern": "*"},
        "val/x": {"summary": "min", "pattern": "val/*"},
    }


def test_what_define_metric_returns_is_taken_as_an_axis():
    run = begin()
    epoch = respool.define_metric("epoch")
    assert epoch.name == "epoch"
    run.define_metric("loss", step_metric=epoch)
    assert run._meta["metrics"]["loss"] == {"step_metric": "epoch"}


@pytest.mark.parametrize(
    ("summary", "goal", "how"),
    [
        ("best", "maximize", "max"),
        ("best", None, "min"),
        ("MIN", None, "min"),
        ("copy", None, "last"),
        ("mean", None, "mean"),
        ("min, max", None, "min,max"),
        ("best,last,copy", "maximize", "max,last"),
        ("min,none", None, "none"),
        ("min,median", None, None),
        (" , ", None, None),
        (5, None, None),
    ],
)
def test_wandbs_words_mean_what_they_meant(summary, goal, how):
    assert how_of(summary, goal) == how


@pytest.mark.parametrize("name", ["", "a*b", 5, None])
def test_a_name_that_is_none_is_a_line(capsys, name):
    run = begin()
    assert run.define_metric(name) is None
    assert run.define_metric("loss", step_metric=name) is None or name is None
    assert "define_metric() cannot use what it was given" in capsys.readouterr().err


def test_names_and_patterns_cost_nothing_without_a_pattern():
    run = begin()
    run.log({"a": 1})
    assert kinds(run) == [Kind.ROW]
    assert run._names == {"a"}


def test_a_disabled_run_takes_definitions_too():
    run = begin(mode="disabled")
    run.define_metric("*", summary="min")
    run.log({"a": 1})
    assert run.disabled
