"""alert() and watch()."""

from __future__ import annotations

from datetime import timedelta

import pytest

import respool
from fakes.daemon import frames_in
from respool import alerts
from respool.wire import codec
from respool.wire.frames import Kind


@pytest.fixture
def run():
    return respool.init(project="p", id="r", mode="spool")


def kept(run, kind=Kind.ROW):
    return [
        (frame.step, codec.unpack(frame.payload))
        for frame in frames_in(run._keeper.attached.directory)
        if frame.kind == kind
    ]


def test_an_alert_is_a_record_and_stays_with_the_run(run):
    respool.alert("Low accuracy", "it is 0.1", level=respool.AlertLevel.WARN)
    ((_, record),) = kept(run, Kind.META)
    (alert,) = record["alerts"]
    assert (alert["title"], alert["text"], alert["level"]) == ("Low accuracy", "it is 0.1", "WARN")
    run.finish()
    again = respool.init(project="p", id="r", mode="spool", resume="allow")
    again.alert("Another", "x")
    assert [one["title"] for one in kept(again, Kind.META)[-1][1]["alerts"]] == ["Low accuracy", "Another"]


def test_alerts_of_one_title_are_a_minute_apart_unless_asked_otherwise():
    first = alerts.raised(None, "a", "x", None, None, 100.0)
    assert alerts.raised(first, "a", "y", None, None, 159.0) is None
    assert len(alerts.raised(first, "a", "y", None, None, 161.0)) == 2
    assert len(alerts.raised(first, "b", "y", None, None, 101.0)) == 2
    assert len(alerts.raised(first, "a", "y", None, 0, 101.0)) == 2
    assert alerts.raised(first, "a", "y", None, timedelta(hours=1), 300.0) is None
    many = first
    for second in range(200, 400):
        many = alerts.raised(many, "c", "x", None, 0, float(second))
    assert [one["time"] for one in (many[0], many[-1])] == [300.0, 399.0]


@pytest.mark.parametrize(
    ("level", "name"),
    [("warn", "WARN"), ("WARNING", "WARN"), ("ERROR", "ERROR"), ("?", "INFO"), (None, "INFO")],
)
def test_a_level_may_be_spelled_as_one_likes(level, name):
    assert alerts.level_of(level) == name


def test_an_alert_without_a_run_is_a_warning(capsys):
    respool.alert("a", "b")
    assert "alert() before init()" in capsys.readouterr().err


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def train(torch, model, steps):
    for step in range(steps):
        model(torch.ones(1, 2)).sum().backward()
        respool.log({"loss": float(step)})


def test_gradients_and_parameters_are_rows_of_the_step_at_their_frequency(run, torch):
    model = torch.nn.Linear(2, 1)
    respool.watch(model, log="all", log_freq=2)
    train(torch, model, 4)
    found = [(step, sorted(row)) for step, row in kept(run) if "loss" not in row]
    gradients, parameters = ["gradients/bias", "gradients/weight"], ["parameters/bias", "parameters/weight"]
    assert found == [(1, parameters), (1, gradients), (3, parameters), (3, gradients)]
    histogram = kept(run)[2][1]["gradients/weight"]
    assert (histogram["_type"], sum(histogram["values"]), len(histogram["bins"])) == ("histogram", 2.0, 65)
    assert run.step == 4


def test_a_parameter_without_a_gradient_does_not_hold_the_others_back(run, torch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)

        def forward(self, x):
            return self.used(x)

    model = Model()
    run.watch(model, log_freq=1)
    for _ in range(2):
        model(torch.ones(1, 1)).sum().backward()
    assert [sorted(row) for _, row in kept(run)] == [["gradients/used.bias", "gradients/used.weight"]]
    run.unwatch(model)
    assert len(kept(run)) == 2
    model(torch.ones(1, 1)).sum().backward()
    assert len(kept(run)) == 2


def test_a_second_model_has_its_own_names(run, torch):
    models = [torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)]
    run.watch(models, log="parameters", log_freq=1)
    for model in models:
        model(torch.ones(1, 1))
    assert [list(row) for _, row in kept(run)] == [["parameters/weight"], ["parameters/graph_1weight"]]


def test_values_that_are_not_finite_do_no_harm(run, torch):
    model = torch.nn.Linear(1, 1)
    run.watch(model, log_freq=1)
    (model(torch.ones(1, 1)).sum() * float("nan")).backward()
    respool.log({"loss": 1.0})
    assert [row for _, row in kept(run)] == [{"loss": 1.0}]


def test_what_is_no_model_is_a_warning(run, capsys):
    run.watch("model")
    run.watch(None, log="everything")
    run.watch([], log_graph=True)
    assert capsys.readouterr().err.count("warning") == 3
