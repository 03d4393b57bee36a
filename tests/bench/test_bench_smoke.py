"""Each benchmark runs, in a tiny size, so that none of them rots. Nothing is timed here."""

from __future__ import annotations

import importlib
import math

import pytest

from bench.report import Result, quantile, spread, table

NAMES = (
    "bounds",
    "checkpoint_save",
    "checkpoint_travel",
    "daemon_idle",
    "daemon_ready",
    "daemon_sustained",
    "heartbeats",
    "import_cost",
    "init_cost",
    "log_back_to_back",
    "log_daemon_stopped",
    "log_paced",
    "spool_to_hub",
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name.startswith("checkpoint") else name for name in NAMES],
)
def test_a_benchmark_measures_something_against_its_budget(name):
    if name.startswith("checkpoint"):
        pytest.importorskip("torch")
    module = importlib.import_module(f"bench.{name}")
    results = module.run(module.TINY)
    assert any(one.budget and one.met is not None for one in results)
    assert table(results).count("\n") == len(results) + 1


def test_the_script_that_runs_all_benchmarks_knows_every_one():
    assert set(importlib.import_module("bench.all").NAMES) == set(NAMES)


def test_a_quantile_is_a_value_of_its_sample_even_at_the_end():
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert quantile([1.0, 2.0], 1.0) == 2.0


def test_a_spread_tells_the_least_and_the_median():
    least, median = spread([5.0, 1.0, 3.0])
    assert math.isclose(least, 1.0)
    assert math.isclose(median, 3.0)


def test_a_missed_budget_is_seen_in_the_table():
    assert "**missed**" in table([Result("what", "9 ms", budget="≤ 5 ms", met=False)])
