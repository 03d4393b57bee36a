"""What a sweep's configuration means, and which points a search tries."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire import codec
from respool_hub.service.refusal import RefusalError
from respool_hub.service.sweeps.config import Hyperband, sweep_of
from respool_hub.service.sweeps.distributions import Choice, beta_quantile
from respool_hub.service.sweeps.hyperband import marks_of, stops
from respool_hub.service.sweeps.search import Trial, grid_size, suggest


def sweep(method="random", parameters=None, **more):
    return sweep_of({"method": method, "parameters": parameters or {"x": {"value": 1}}, **more})


def leaf(**told):
    return next(iter(sweep(parameters={"x": told}).space.values()))


def units(count=2000):
    return [(index + 0.5) / count for index in range(count)]


@pytest.mark.parametrize(
    ("told", "low", "high", "middle"),
    [
        ({"min": 1, "max": 6}, 1, 6, 4),
        ({"min": 0.0, "max": 2.0}, 0.0, 2.0, 1.0),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}, 0.0, 1.0, 0.5),
        ({"distribution": "log_uniform", "min": -4, "max": 0}, math.exp(-4), 1.0, math.exp(-2)),
        ({"distribution": "q_log_uniform", "min": 0, "max": 4, "q": 2}, 2, 54, 8),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 4}, math.exp(-4), 1.0, math.exp(-2)),
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}, 1e-4, 1.0, 1e-2),
        ({"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 1.0}, 1e-4, 1.0, 1e-2),
        ({"distribution": "q_log_uniform_values", "min": 1, "max": 100, "q": 5}, 0, 100, 10),
        ({"mu": 3, "sigma": 2}, None, None, 3.0),
        ({"distribution": "q_normal", "mu": 10, "sigma": 5}, None, None, 10),
        ({"distribution": "log_normal", "mu": 1, "sigma": 1}, 0.0, None, math.e),
        ({"distribution": "beta", "a": 2, "b": 2}, 0.0, 1.0, 0.5),
    ],
)
def test_a_distribution_has_its_range_and_its_median(told, low, high, middle):
    one = leaf(**told)
    values = [one.at(unit) for unit in units()]
    if low is not None:
        assert min(values) == pytest.approx(low, rel=0.02, abs=0.1 if low == 0 else None)
    if high is not None:
        assert max(values) == pytest.approx(high, rel=0.02)
    assert one.at(0.5) == pytest.approx(middle, rel=0.01)


def test_the_quantile_of_a_beta_distribution_is_exact_where_it_is_known():
    for unit in (0.01, 0.3, 0.9):
        assert beta_quantile(unit, 1, 1) == pytest.approx(unit)
        assert beta_quantile(unit, 2, 1) == pytest.approx(math.sqrt(unit))
        assert beta_quantile(unit, 1, 3) == pytest.approx(1 - (1 - unit) ** (1 / 3))


SIZES = (0, 1, -1, 3, 0.5, 1e-320, 1e-100, 1e100, -1e100, 1e300, 1.7e308, -1.7e308, 10**400, 2**53, 700)
NONE = (math.inf, -math.inf, math.nan, True, None, "1", [], ["minimize"], {}, [1, 2], [0.5, 0.5])
ODD = st.sampled_from([*SIZES, *NONE, [math.nan], {"a": [-math.inf]}, [10**30], ["x", None, 2.5]])
PLAIN = ["uniform", "log_uniform", "log_uniform_values", "normal", "log_normal", "beta"]
OTHERS = ["constant", "categorical", "int_uniform", "inv_log_uniform", "inv_log_uniform_values", "odd"]
KINDS = st.sampled_from([*PLAIN, *OTHERS, *(f"q_{name}" for name in PLAIN)])
KEYS = st.sampled_from(["value", "values", "probabilities", "min", "max", "mu", "sigma", "a", "b", "q"])
LEAVES = st.tuples(st.dictionaries(KEYS, ODD, max_size=4), st.none() | KINDS).map(
    lambda one: one[0] | ({"distribution": one[1]} if one[1] else {})
)
EDGED = st.fixed_dictionaries({"distribution": KINDS, "min": ODD, "max": ODD}, optional={"q": ODD})
BELLS = st.fixed_dictionaries(
    {"distribution": KINDS}, optional={"mu": ODD, "sigma": ODD, "a": ODD, "b": ODD, "q": ODD}
)
RULES = st.dictionaries(st.sampled_from(["min_iter", "max_iter", "s", "eta", "strict"]), ODD).map(
    lambda one: one | {"type": "hyperband"}
)


@given(
    st.dictionaries(st.sampled_from(["x", "y", "x.y"]), LEAVES | EDGED | BELLS, min_size=1),
    st.none() | RULES,
    ODD,
    st.sampled_from(["random", "grid"]),
)
def test_a_configuration_is_refused_or_every_suggestion_is_finite(parameters, rule, goal, method):
    config = {"method": method, "parameters": parameters, "metric": {"name": "loss", "goal": goal}}
    config |= {"run_cap": goal} | ({"early_terminate": rule} if rule else {})
    for one in (config, {"method": method, "parameters": parameters}):
        try:
            made = sweep_of(one)
        except RefusalError:
            continue
        json.dumps(one, allow_nan=False)
        for distribution in made.space.values():
            if isinstance(distribution, Choice):
                codec.pack(list(distribution.values))
            else:
                assert all(math.isfinite(distribution.at(unit)) for unit in (0.0, 1e-9, 0.3, 0.5, 1 - 1e-9))


def test_one_name_in_two_spellings_is_refused():
    nested = {"parameters": {"b": {"value": 1}}}
    with pytest.raises(RefusalError, match=r"parameters\.a\.b is 'given twice"):
        sweep(parameters={"a.b": {"value": 2}, "a": nested})


def test_a_command_in_one_text_is_split_as_a_shell_would():
    assert sweep(command="python 'my train.py' ${args}").command == ("python", "my train.py", "${args}")
    with pytest.raises(RefusalError, match="command is"):
        sweep(command="python 'train.py")


def test_probabilities_decide_how_often_a_value_comes():
    one = leaf(values=["a", "b", "c"], probabilities=[0.7, 0.3, 0])
    found = [one.at(unit) for unit in units(1000)]
    assert (found.count("a"), found.count("b"), found.count("c")) == (700, 300, 0)


def test_a_grid_has_every_combination_once_and_then_ends():
    grid = sweep(
        "grid",
        {
            "a": {"values": [1, "x"]},
            "deep": {"parameters": {"b": {"min": 1, "max": 3}, "c": {"value": None}}},
            "q": {"distribution": "q_uniform", "min": 0.0, "max": 0.3, "q": 0.1},
        },
    )
    found = [suggest(grid, 1, number, []).parameters for number in range(24)]
    assert grid_size(grid) == 24
    assert len({str(one) for one in found}) == 24
    assert found[0] == {"a": 1, "deep": {"b": 1, "c": None}, "q": 0.0}
    assert found[-1] == {"a": "x", "deep": {"b": 3, "c": None}, "q": 0.3}
    assert suggest(grid, 1, 24, []) is None


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_search_is_a_function_of_its_seed_and_its_trials(method):
    one = sweep(method, {"x": {"min": 0.0, "max": 1.0}, "k": {"values": ["a", "b"]}}, metric={"name": "loss"})
    trials = []
    for number in range(12):
        here, again = (suggest(one, 5, number, trials) for _ in range(2))
        assert here == again
        trials.append(Trial(here.point, here.parameters["x"], over=True))
    assert suggest(one, 6, 12, trials) != suggest(one, 5, 12, trials)


def test_points_in_work_and_points_that_failed_do_not_stop_a_search():
    one = sweep("bayes", {"x": {"min": 0.0, "max": 1.0}}, metric={"name": "loss"})
    trials = [Trial({"x": 0.1 * index}, index, over=True) for index in range(9)]
    trials += [Trial({"x": 0.5}), Trial({"x": 0.6}, over=True)]
    assert 0 <= suggest(one, 1, 11, trials).parameters["x"] <= 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"method": "annealing"}, ["method is 'annealing'", "grid, random, bayes"]),
        ({"methods": "grid"}, ["methods", "method"]),
        ({"parameters": {}}, ["parameters is {}"]),
        ({"parameters": {"a b": {"value": 1}}}, ["'a b'"]),
        ({"parameters": {"x": 3}}, ["parameters.x is 3"]),
        ({"parameters": {"x": {"min": 1}}}, ["parameters.x"]),
        ({"parameters": {"x": {"min": 2, "max": 1}}}, ["parameters.x.min is 2", "above max"]),
        ({"parameters": {"x": {"value": 1, "vlaues": []}}}, ["parameters.x.vlaues"]),
        ({"parameters": {"x": {"distribution": "uniformly"}}}, ["'uniformly'", "log_uniform_values"]),
        ({"parameters": {"x": {"distribution": "log_uniform_values", "min": 0, "max": 1}}}, ["x.min is 0"]),
        ({"parameters": {"x": {"distribution": "log_uniform", "min": 1, "max": 1e9}}}, ["exponents"]),
        ({"parameters": {"x": {"values": [1, 2], "probabilities": [0.5, 0.6]}}}, ["sum up to 1"]),
        (
            {"parameters": {"x": {"parameters": {"y": {"min": "a", "max": 1.5}}}}},
            ["parameters.x.y.min is 'a'"],
        ),
        (
            {"method": "grid", "parameters": {"x": {"min": 0.0, "max": 1.0}}},
            ["parameters.x is a range without steps", "q_uniform"],
        ),
        ({"method": "bayes"}, ["metric is None"]),
        ({"metric": {"name": "loss", "goal": "min"}}, ["metric.goal is 'min'"]),
        ({"run_cap": 0}, ["run_cap is 0"]),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1}}, ["metric is None"]),
        ({"metric": {"name": "l"}, "early_terminate": {"type": "hyperband"}}, ["either min_iter"]),
        (
            {"metric": {"name": "l"}, "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}},
            ["eta is 1"],
        ),
        ({"command": [["a"]]}, ["command is"]),
        ({"command": ["${arg}"]}, ["command is '${arg}'", "${args_json}"]),
        ({"command": ["--x=${args}"]}, ["command is '${args}'"]),
    ],
)
def test_what_cannot_be_is_refused_by_key_and_value(config, words):
    with pytest.raises(RefusalError) as refused:
        sweep_of({"method": "random", "parameters": {"x": {"value": 1}}, **config})
    said = f"{refused.value.problem.cause} {refused.value.problem.advice}"
    assert all(word in said for word in words), said


def test_hyperband_counts_its_bands_from_either_end():
    def rule(**told):
        return sweep(metric={"name": "l"}, early_terminate={"type": "hyperband", **told}).hyperband

    assert rule(min_iter=3).bands[:3] == (3, 9, 27)
    assert rule(min_iter=3, s=2).bands[:3] == (3, 9, 27), "W&B takes it, too"
    assert rule(max_iter=27, s=2, eta=3) == Hyperband((3, 9), 3.0, strict=True)


def test_hyperband_ends_those_that_are_not_among_the_best_share():
    rule = Hyperband((2, 4), 2.0, strict=True)
    good, middling, bad = ([value] * 4 for value in (1.0, 2.0, 3.0))
    marks = [marks_of(values, rule.bands) for values in (good, middling, bad)]
    assert marks[0] == {2: 1.0, 4: 1.0}
    assert [stops(mine, [one for one in marks if one is not mine], rule) for mine in marks] == [
        False,
        True,
        True,
    ]
    assert not stops({}, marks, rule)
    assert not stops({2: 9.0}, [], rule), "alone, nobody is worse than the others"
    late = marks_of([9.0, 9.0, 0.5, 0.5], rule.bands)
    assert stops(late, marks, rule)
    assert not stops(late, marks, rule._replace(strict=False))


def branin(x, y):
    a, b, c = 1, 5.1 / (4 * math.pi**2), 5 / math.pi
    return a * (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def best(method, seed, budget):
    space = {"x": {"min": -5.0, "max": 10.0}, "y": {"min": 0.0, "max": 15.0}}
    one, trials = sweep(method, space, metric={"name": "loss"}), []
    for number in range(budget):
        point, values = suggest(one, seed, number, trials)
        trials.append(Trial(point, branin(**values), over=True))
    return min(trial.value for trial in trials)


@pytest.mark.slow
def test_bayes_beats_random_at_an_equal_budget_on_branin():
    pairs = [(best("bayes", seed, 50), best("random", seed, 50)) for seed in range(20)]
    wins = sum(bayes < lot for bayes, lot in pairs)
    medians = [sorted(values)[10] for values in zip(*pairs, strict=True)]
    print(
        f"bayes wins {wins} of 20; medians over the optimum {[round(one - 0.397887, 4) for one in medians]}"
    )
    assert wins >= 15
    assert medians[0] < medians[1]


def test_a_hub_without_sweeps_does_not_load_optuna():
    code = "import sys, respool_hub.app; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
