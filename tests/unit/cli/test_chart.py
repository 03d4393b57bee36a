"""Curves in the terminal, from a hub and from a folder; histories as Parquet."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.folders import Folder
from respoold.cli.chart import Curve, draw, smoothed
from unit.cli.fake_hub import Answer, FakeHub, a_run

Respool = Callable[..., Answer]


def plain(text: str, _: str) -> str:
    return text


def a_chart(*curves: Curve, width: int = 60, height: int = 8, **more) -> list[str]:
    return draw(curves, width, height, plain, **more)


def test_a_chart_has_the_size_it_was_given() -> None:
    curve = Curve("loss", range(1000), [1 / (x + 1) for x in range(1000)])
    chart = a_chart(curve)
    assert len(chart) == 8 + 2 + 1
    assert max(map(len, chart[:10])) <= 60
    assert chart[-1].startswith("a  loss")
    assert "last 0.001   min 0.001 at 999   max 1 at 0" in chart[-1]


def test_a_spike_of_one_point_in_a_million_is_drawn() -> None:
    ys = [0.0] * 1_000_000
    ys[345_678] = 1.0
    top = a_chart(Curve("x", range(1_000_000), ys))[0]
    assert any("\u2800" < letter <= "\u28ff" for letter in top)


@pytest.mark.parametrize(
    "points", [[(0, 0.0)], [(5, -3.0), (5, 9.0)], [(0, 1e300), (1, -1e300)], [(0, 1e-300), (9, 2e-300)]]
)
def test_a_chart_of_few_or_extreme_points_is_drawn(points: list[tuple[float, float]]) -> None:
    curve = Curve("x", [x for x, _ in points], [y for _, y in points])
    assert any("\u2800" < letter <= "\u28ff" for letter in "".join(a_chart(curve)))


def test_smoothing_begins_at_the_first_value_and_keeps_a_constant() -> None:
    assert smoothed([4.0] * 5, 0.9) == pytest.approx([4.0] * 5)
    assert smoothed([1.0, 2.0], 0.0) == [1.0, 2.0]
    noisy = smoothed([0.0, 1.0] * 50, 0.95)
    assert abs(noisy[-1] - 0.5) < 0.05


def test_several_curves_are_told_apart_without_colour() -> None:
    chart = a_chart(Curve("up", [0, 1, 2], [0, 1, 2]), Curve("down", [0, 1, 2], [2, 1, 0]))
    assert chart[0].endswith("a")
    assert chart[7].endswith("b")


def test_plot_draws_a_metric_of_a_run_at_the_hub(hub: FakeHub, respool: Respool) -> None:
    attempts = [
        {"attempt_id": "a", "on_lineage": True, "parent": None, "first_step": 0},
        {"attempt_id": "b", "on_lineage": True, "parent": "a", "first_step": 50},
    ]
    hub.runs(a_run("mlp-1", attempts=attempts))
    hub.history("ada/digits/mlp-1", [{"_step": step, "loss": 1 / (step + 1)} for step in range(100)])
    answer = respool("plot", "mlp-1", "loss")
    assert (answer.code, answer.err) == (0, "")
    assert "╂" in answer.out
    assert "a  loss   last 0.01   min 0.01 at 99   max 1 at 0" in answer.out
    assert "\x1b" not in answer.out


def test_plot_leaves_out_what_is_no_number_and_says_how_much(hub: FakeHub, respool: Respool) -> None:
    hub.runs(a_run("mlp-1", attempts=[]))
    rows = [{"_step": 0, "loss": 1.0}, {"_step": 1, "loss": "NaN"}, {"_step": 2, "loss": 0.5}]
    hub.history("ada/digits/mlp-1", rows)
    answer = respool("plot", "mlp-1", "loss")
    assert answer.code == 0
    assert "1 value of ada/digits/mlp-1 left out" in answer.err


def test_plot_of_an_unknown_metric_says_what_there_is(hub: FakeHub, respool: Respool) -> None:
    hub.runs(a_run("mlp-1", summary={"train/loss": 1.0, "epoch": 3}))
    hub.history("ada/digits/mlp-1", [])
    answer = respool("plot", "mlp-1", "loss")
    assert answer.code == 2
    assert "has no metric 'loss'" in answer.err
    assert "train/loss" in answer.err


def test_plot_over_another_key_and_of_several_runs_of_a_folder(respool: Respool, tmp_path: Path) -> None:
    for number in (1, 2):
        folder = Folder(str(tmp_path / "spool"), f"{number}" * 32, f"mlp-{number}")
        for step in range(30):
            folder.rows([step], epoch=step // 10)
    answer = respool("plot", "mlp-1", "loss", "--with", "mlp-2", "--x", "epoch", "--spool", "spool", "--json")
    points = [json.loads(line) for line in answer.out.splitlines()]
    assert len(points) == 60
    assert {point["x"] for point in points} == {0, 1, 2}
    shown = respool("plot", "mlp-1", "loss", "--with", "mlp-2", "--log", "--spool", "spool")
    assert "digits/mlp-1, digits/mlp-2, logarithmic" in shown.out


@pytest.mark.parametrize("weight", ["1", "-0.1", "nan", "much"])
def test_a_weight_that_is_none_is_a_usage_error(respool: Respool, weight: str) -> None:
    assert respool("plot", "mlp-1", "loss", "--smooth", weight).code == 2


def test_a_history_becomes_a_parquet_file_with_the_types_of_its_values(
    hub: FakeHub, respool: Respool
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    hub.runs(a_run("mlp-1"))
    rows = [
        {"_step": 0, "loss": 1.0, "epoch": 1, "good": True, "note": "a", "mixed": 1, "deep": {"a": [1]}},
        {"_step": 1, "loss": "NaN", "epoch": 2, "mixed": "x"},
        {"_step": 2, "loss": 3, "huge": 1 << 70},
    ]
    hub.history("ada/digits/mlp-1", rows)
    answer = respool("history", "mlp-1", "--parquet", "out.parquet")
    assert answer.code == 0
    assert "3 rows, 8 columns" in answer.err
    table = parquet.read_table("out.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "_step": "int64", "loss": "double", "epoch": "int64", "good": "bool", "note": "string",
        "mixed": "string", "deep": "string", "huge": "double",
    }  # fmt: skip
    columns = table.to_pydict()
    assert columns["epoch"] == [1, 2, None]
    assert columns["mixed"] == ["1", "x", None]
    assert math.isnan(columns["loss"][1])


def test_without_pyarrow_the_line_to_install_it_is_printed(tmp_path: Path) -> None:
    Folder(str(tmp_path / "spool"), "a" * 32).rows(range(3))
    script = "import sys; sys.modules['pyarrow'] = None\nfrom respool.command import main\nsys.exit(main())"
    words = ["history", "mlp-1", "--spool", "spool", "--parquet", "out.parquet"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "  Install it: pip install pyarrow"
