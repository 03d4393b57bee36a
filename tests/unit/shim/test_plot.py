"""wandb.plot: tables with what they mean."""

from __future__ import annotations

import json
import os

import pytest

import respool
from fakes.daemon import frames_in
from respool.wire import codec
from respool.wire.frames import Kind


def test_a_chart_in_a_row_is_its_table_and_what_the_columns_are():
    run = respool.init(project="p", mode="spool")
    table = respool.Table(columns=["x", "y"], data=[[1, 2], [3, 4]])
    run.log({"chart": respool.plot.line(table, "x", "y", title="A line")})
    directory = run._keeper.attached.directory
    frames = frames_in(directory)
    chart = next(codec.unpack(one.payload) for one in frames if one.kind == Kind.ROW)["chart"]
    assert (chart["_type"], chart["kind"], chart["title"], chart["fields"]) == (
        "chart",
        "line",
        "A line",
        {"x": "x", "y": "y"},
    )
    blob = next(codec.unpack(one.payload) for one in frames if one.kind == Kind.FILE)["blob"]
    with open(os.path.join(directory, "blobs", blob)) as file:
        assert json.load(file)["data"] == [[1, 2], [3, 4]]


def test_series_over_one_x_and_over_one_each():
    one = respool.plot.line_series([0, 1], [[5, 6], [7, 8]], keys=["a", "b"])
    assert one.table.data == [[0, "a", 5], [1, "a", 6], [0, "b", 7], [1, "b", 8]]
    each = respool.plot.line_series([[0], [9]], [[5], [7]])
    assert each.table.data == [[0, "key_0", 5], [9, "key_1", 7]]


@pytest.mark.parametrize(
    "given",
    [{"preds": [0, 1, 1]}, {"probs": [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]}],
    ids=["classes", "probabilities"],
)
def test_a_confusion_matrix_counts(given):
    chart = respool.plot.confusion_matrix(y_true=[0, 1, 0], class_names=["cat", "dog"], **given)
    assert chart.table.data == [["cat", "cat", 1], ["cat", "dog", 1], ["dog", "cat", 0], ["dog", "dog", 1]]


def test_curves_of_a_perfect_and_of_a_useless_classifier():
    perfect = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]
    roc = respool.plot.roc_curve([0, 0, 1, 1], perfect, labels=["no", "yes"])
    assert [row[1:] for row in roc.table.data if row[0] == "yes"] == [
        [0, 0],
        [0, 0.5],
        [0, 1],
        [0.5, 1],
        [1, 1],
    ]
    curve = respool.plot.pr_curve([0, 0, 1, 1], perfect, classes_to_plot=[1])
    assert [row[:2] for row in curve.table.data] == [["1", 1.0], ["1", 1.0], ["1", 0.6667], ["1", 0.5]]
    useless = respool.plot.roc_curve([0, 1, 0, 1], [[0.5, 0.5]] * 4, classes_to_plot=[1])
    assert [row[1:] for row in useless.table.data] == [[0, 0], [1, 1]]


def test_other_charts_say_what_they_are_and_what_is_missing_is_a_no_op(capsys):
    table = respool.Table(columns=["a"], data=[[1]])
    kinds = [
        respool.plot.scatter(table, "a", "a"),
        respool.plot.bar(table, "a", "a"),
        respool.plot.histogram(table, "a"),
        respool.plot_table("me/spec", table, {"x": "a"}),
    ]
    assert [one.kind for one in kinds] == ["scatter", "bar", "histogram", "me/spec"]
    assert not respool.plot.viz(1)
    assert "plot.viz has no effect" in capsys.readouterr().err
