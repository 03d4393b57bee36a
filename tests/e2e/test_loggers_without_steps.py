"""Promise P7 for loggers that never pass a step: Lightning's and Transformers' own, with respool in W&B's place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from e2e.sites import PROJECT, RUN, Site
from e2e.test_no_daemon import ALONE, SPOOL, sync

if TYPE_CHECKING:
    from e2e.truths import Life

STEPS, KILLED = 40, (17, 28)
pytestmark = pytest.mark.slow


class Framework(NamedTuple):
    """A trainer, and what its rows are called."""

    package: str
    script: str
    axis: str
    loss: str
    checked: str


LIGHTNING = Framework("lightning", "lightning_logger.py", "trainer/global_step", "loss", "val_loss")
TRANSFORMERS = Framework(
    "transformers", "transformers_callback.py", "train/global_step", "train/loss", "eval/loss"
)
frameworks = pytest.mark.parametrize("framework", [LIGHTNING, TRANSFORMERS], ids=lambda one: one.package)


def train(site: Site, framework: Framework, **environ: str) -> list[Life]:
    """Killed twice behind a checkpoint, then to its end."""
    lives = []
    for die_at in (*KILLED, -1):
        life = site.node.train(framework.script, environ=environ, steps=STEPS, die_at=die_at)
        code = life.process.wait(240)
        assert code == (0 if die_at < 0 else -9), life.process.words()
        lives.append(life)
    return lives


def check(site: Site, framework: Framework, lives: list[Life]) -> None:
    run = site.view.show(PROJECT, RUN)
    assert run is not None
    rows = site.view.history(PROJECT, RUN)
    losses = [(row[framework.axis], row[framework.loss]) for row in rows if framework.loss in row]
    first = losses[0][0]
    assert [step for step, _ in losses] == list(range(first, first + STEPS))
    assert losses == expected(lives, first)
    checks = [row[framework.axis] for row in rows if framework.checked in row]
    assert checks == sorted(set(checks))
    assert len(checks) == STEPS // 10
    every = site.view.history(PROJECT, RUN, every=True)
    hidden = [row for row in every if row.get("_hidden")]
    assert sum(framework.loss in row for row in hidden) == sum(at - at // 10 * 10 for at in KILLED)
    assert run["summary"][framework.loss] == losses[-1][1]
    assert run["summary"][framework.axis] == rows[-1][framework.axis]
    assert [one["state"] for one in run["attempts"]] == ["crashed", "crashed", "finished"]


def expected(lives: list[Life], first: int) -> list[tuple[int, float]]:
    """By global_step the loss that the last life noted for it. Theirs may count from 0 or from 1."""
    told: dict[int, float] = {}
    for life in lives:
        told |= {noted.step: noted.value for noted in life.noted}
    begin = min(told)
    return [(first + step - begin, value) for step, value in sorted(told.items())]


@frameworks
def test_killed_twice_behind_its_checkpoint_every_global_step_shows_once(
    site: Site, framework: Framework
) -> None:
    pytest.importorskip(framework.package)
    site.open()
    lives = train(site, framework)
    site.drained()
    check(site, framework, lives)
    told = lives[1].process.words()
    assert f"run admin/{PROJECT}/{RUN} continues at {framework.axis} " in told, told


@frameworks
def test_the_same_without_a_daemon_and_brought_by_one_command(site: Site, framework: Framework) -> None:
    pytest.importorskip(framework.package)
    site.hub.start()
    site.give_keys()
    lives = train(site, framework, **ALONE)
    sync(site.node, os.path.join(site.node.work, SPOOL))
    check(site, framework, lives)
