"""Promise P1: whoever is killed, and however often, no row is lost, doubled, reordered or changed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from e2e.sites import Site
from e2e.storm import Storm

STORM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "storm.py")


def seed() -> int:
    """The same each time, or RESPOOL_STORM_SEED; the command draws a new one."""
    return int(os.environ.get("RESPOOL_STORM_SEED") or 2026)


def test_no_kill_of_trainer_daemon_and_hub_loses_doubles_or_moves_a_row(site: Site) -> None:
    outcome = Storm(site, seed(), kills=16, rows=2000, patient=True).run()
    print(outcome)
    assert outcome.account.kept >= 2000


@pytest.mark.slow
def test_trainers_started_while_the_daemon_is_dead_lose_no_row_either(site: Site) -> None:
    outcome = Storm(site, seed(), kills=10, rows=2000, patient=False).run()
    print(outcome)
    assert outcome.account.kept >= 2000


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--patient"], []])
def test_a_long_storm_as_a_command_ends_well(words: list[str]) -> None:
    argv = [sys.executable, STORM, "--kills", "60", "--seed", str(seed()), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
