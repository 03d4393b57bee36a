"""The crash storm: a training that is logged while its trainer, its daemon and its hub are killed at random.

    python tests/e2e/storm.py --kills 200 --seed 7

Ends with exit code 0 only if every row whose log() returned is at the hub exactly once, in order, with its value,
and the history is one line of steps. The seed decides who is killed when, not how fast the machine is: the same
seed makes the same plan, not the same instant.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from e2e.processes import Process
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import Account, Life, account

TRAINER, DAEMON, HUB = "trainer", "daemon", "hub"
ACTS = (
    ((TRAINER,), 5),
    ((DAEMON,), 4),
    ((HUB,), 3),
    ((TRAINER, DAEMON), 2),
    ((DAEMON, HUB), 2),
    ((TRAINER, HUB), 1),
    ((TRAINER, DAEMON, HUB), 2),
)
STOPPED = 0.15
"""Share of the acts that begin with a SIGSTOP of the daemon, and end in a SIGKILL of all three."""


class Outcome(NamedTuple):
    seed: int
    kills: int
    by_victim: dict[str, int]
    stops: int
    seconds: float
    drained: float
    account: Account

    def __str__(self) -> str:
        victims = ", ".join(f"{name} {count}" for name, count in self.by_victim.items())
        one = self.account
        return (
            f"storm: seed {self.seed}, {self.kills} kills ({victims}), {self.stops} with the daemon stopped before; "
            f"{one.lives} attempts, {one.noted} rows whose log() returned, {one.kept} at the hub "
            f"({one.unnoted} written by a log() that had not returned), {one.history} steps of history; "
            f"{self.seconds:.0f} s, drained in {self.drained:.1f} s"
        )


class Storm:
    """One storm over one site. `patient`: a trainer is only started again once the daemon is ready."""

    def __init__(self, site: Site, seed: int, kills: int, rows: int, *, patient: bool = False) -> None:
        self.site = site
        self.seed, self.kills, self.rows, self.patient = seed, kills, rows, patient
        self.random = random.Random(seed)
        self.lives: list[Life] = []
        self.count = dict.fromkeys((TRAINER, DAEMON, HUB), 0)
        self.stops = 0

    def run(self) -> Outcome:
        """Let it rage, then let everything come back, and count."""
        began = time.monotonic()
        self.site.open()
        self._train()
        while sum(self.count.values()) < self.kills:
            self._act()
        self._end()
        ended = time.monotonic()
        self.site.drained(120)
        drained = time.monotonic() - ended
        found = account(self.site.view, PROJECT, RUN, self.lives, linear=self.patient)
        kills = sum(self.count.values())
        seconds = time.monotonic() - began
        return Outcome(self.seed, kills, self.count, self.stops, seconds, drained, found)

    def _process(self, name: str) -> Process:
        match name:
            case "trainer":
                return self.lives[-1].process
            case "daemon":
                return self.site.node.daemon
        return self.site.hub

    def _train(self, **more: object) -> None:
        restart = self.random.choice(["checkpoint", "checkpoint", "step"])
        pace = self.random.choice([0.0005, 0.002, 0.005])
        options = {"steps": 10**9, "every": 50, "restart": restart, "pace": pace, **more}
        self.lives.append(self.site.node.rows(**options))

    def _act(self) -> None:
        victims, stopped = self._plan()
        self._progress(self.random.randint(1, 120))
        if stopped:
            self.stops += 1
            self.site.node.daemon.pause()
            self._progress(self.random.randint(1, 400))
        for name in victims:
            self._process(name).kill()
            self.count[name] += 1
        self._pause()
        self._restart(list(victims))

    def _plan(self) -> tuple[tuple[str, ...], bool]:
        if self.random.random() < STOPPED:
            return (TRAINER, DAEMON, HUB), True
        names, weights = zip(*ACTS, strict=True)
        victims = list(self.random.choices(names, weights)[0])
        self.random.shuffle(victims)
        return tuple(victims), False

    def _progress(self, rows: int) -> None:
        """Rows logged by the present life before the next blow: so each of them hits a training that logs."""
        life = self.lives[-1]
        life.begun()
        life.reach(life.last_step + rows)

    def _restart(self, victims: list[str]) -> None:
        self.random.shuffle(victims)
        if self.patient and TRAINER in victims:
            victims.remove(TRAINER)
            victims.append(TRAINER)
        for name in victims:
            if name == TRAINER:
                if self.patient:
                    self.site.node.daemon.wait_ready()
                self._train()
            else:
                self._process(name).launch()
            self._pause()
        for name in set(victims) - {TRAINER}:
            self._process(name).wait_ready()

    def _pause(self) -> None:
        time.sleep(self.random.choice([0.0, 0.0, 0.05, 0.3]))

    def _end(self) -> None:
        """The last life ends by itself, beyond every step that was reached, and beyond the rows asked for."""
        self._process(TRAINER).kill()
        self.count[TRAINER] += 1
        reached = max(life.last_step for life in self.lives)
        missing = max(0, self.rows - sum(len(life.noted) for life in self.lives))
        self._train(steps=reached + missing + 100, pace=0.0, restart="checkpoint")
        code = self.lives[-1].process.wait(120)
        assert code == 0, self.lives[-1].process.words()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--rows", type=int, default=2000, help="rows to log at least")
    parser.add_argument("--patient", action="store_true", help="start trainers only while a daemon is ready")
    options = parser.parse_args()
    print(f"storm: seed {options.seed}, at least {options.kills} kills", flush=True)
    with Site() as site:
        print(Storm(site, options.seed, options.kills, options.rows, patient=options.patient).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
