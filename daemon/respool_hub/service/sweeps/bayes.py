"""The one door to Optuna: a study rebuilt from the trials, and its next point."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from respool_hub.service.sweeps.config import Sweep
from respool_hub.service.sweeps.distributions import Choice, Distribution
from respool_hub.service.sweeps.search import Point, Trial, at_random

FIRST_BY_LOT = 8
"""Points before the search has anything to go by."""

REMEMBERED = 2000
"""Trials that are looked at: the newest. Each costs some 20 µs at every question."""


def suggest(sweep: Sweep, seed: int, number: int, trials: Sequence[Trial]) -> Point:
    """The next point. Those that still run count as bad, so that agents at once do not all try one place."""
    known = [trial for trial in trials if not trial.over or trial.value is not None][-REMEMBERED:]
    if sum(trial.value is not None for trial in known) < FIRST_BY_LOT:
        return at_random(sweep, seed, number)
    space = {".".join(path): _seen(one) for path, one in sweep.space.items() if not _fixed(one)}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=0, multivariate=True, constant_liar=True, seed=(seed + number) % (1 << 32)
    )
    study = optuna.create_study(direction="maximize" if sweep.maximize else "minimize", sampler=sampler)
    study.add_trials([_told(trial, space) for trial in known])
    asked = study.ask(space).params
    whole = dict.fromkeys((".".join(path) for path in sweep.space), 0.0)
    return whole | {
        name: min(float(place), 1 - 1e-12) if _unit(space[name]) else float(place)
        for name, place in asked.items()
    }


def _fixed(one: Distribution) -> bool:
    return isinstance(one, Choice) and len(one.values) == 1


def _seen(one: Distribution) -> BaseDistribution:
    if isinstance(one, Choice):
        return CategoricalDistribution(range(len(one.values)))
    return FloatDistribution(0.0, 1.0)


def _unit(one: BaseDistribution) -> bool:
    return isinstance(one, FloatDistribution)


def _told(trial: Trial, space: dict[str, BaseDistribution]) -> FrozenTrial:
    params = {
        name: trial.point[name] if _unit(one) else int(trial.point[name]) for name, one in space.items()
    }
    if trial.value is None:
        return create_trial(state=TrialState.RUNNING, params=params, distributions=space)
    return create_trial(value=trial.value, params=params, distributions=space)
