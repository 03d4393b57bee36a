"""The checkpoint storm: a real model's state is saved again and again, over the same path, in every way there is,
while its trainer, its daemon and its hub are killed at random.

    python tests/e2e/checkpoint_storm.py --kills 200 --seed 7

Ends with exit code 0 only if everything that is visible at the end loads and is what was saved, bit for bit; every
life continued from what the lives before it had handed over; and the hub was sent next to nothing twice. The seed
decides who is killed when, not how fast the machine is.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import time
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from e2e.processes import Process
from e2e.sites import PROJECT, RUN, TRAINERS, Site
from e2e.truths import Life
from fakes.relay import Relay

TRAINER, DAEMON, HUB = "trainer", "daemon", "hub"
ACTS = (
    ((TRAINER,), 3),
    ((DAEMON,), 5),
    ((HUB,), 5),
    ((DAEMON, HUB), 3),
    ((TRAINER, DAEMON), 2),
    ((TRAINER, DAEMON, HUB), 2),
)
SIZE = 64 << 20
NAME = "model.pt"
BEGUN = 60.0
"""Seconds that a trainer may take to import torch and to restore, on a machine that does other things too."""


class Outcome(NamedTuple):
    seed: int
    by_victim: dict[str, int]
    lives: int
    saves: int
    handed_over: int
    visible: int
    received: int
    distinct: int
    seconds: float

    def __str__(self) -> str:
        victims = ", ".join(f"{name} {count}" for name, count in self.by_victim.items())
        return (
            f"checkpoint storm: seed {self.seed}, kills: {victims}; {self.lives} lives, {self.saves} saves of "
            f"{SIZE >> 20} MiB, {self.handed_over} of them known to be handed over, {self.visible} visible at the end "
            f"and right; the hub received {self.received >> 20} MiB, of which {self.distinct >> 20} MiB are distinct "
            f"({self.received / max(self.distinct, 1):.4f}x); {self.seconds:.0f} s"
        )


class Told(NamedTuple):
    """One remark of a trainer about a save."""

    way: str
    step: int
    digest: str


class CheckpointStorm:
    """One storm over one site, whose daemon reaches the hub through `relay`."""

    def __init__(self, site: Site, relay: Relay, seed: int, kills: int, saves: int) -> None:
        self.site, self.relay = site, relay
        self.seed, self.kills, self.saves = seed, kills, saves
        self.random = random.Random(seed)
        self.lives: list[Life] = []
        self.count = dict.fromkeys((TRAINER, DAEMON, HUB), 0)
        self.newest = -1
        """The newest checkpoint that no kill may have taken."""

    def run(self) -> Outcome:
        """Let it rage, then let everything come back, and compare."""
        began = time.monotonic()
        self.site.hub.start()
        self.site.give_keys(self.relay.url)
        self.site.node.daemon.start()
        self._train()
        while sum(self.count.values()) < self.kills or self._made("try") < self.saves:
            self._act()
        self._kill(TRAINER)
        self._train(steps=5, hang=0)
        code = self.lives[-1].process.wait(120)
        assert code == 0, self.lives[-1].process.words()
        self._settle_life()
        self.site.drained(180)
        assert self.site.node.daemon.alive, self.site.node.daemon.words()
        visible = self._check()
        seconds = time.monotonic() - began
        counts = (len(self.lives), self._made("try"), self._made("saved"), visible)
        return Outcome(self.seed, self.count, *counts, self.relay.towards_hub, self._distinct(), seconds)

    def _made(self, word: str) -> int:
        return sum(len(told(life, word)) for life in self.lives)

    def _process(self, name: str) -> Process:
        if name == TRAINER:
            return self.lives[-1].process
        return self.site.node.daemon if name == DAEMON else self.site.hub

    def _train(self, **more: object) -> None:
        options = {"steps": 10**9, "size": SIZE, "hang": 1, "pace": self.random.choice([0, 0, 0.1]), **more}
        self.lives.append(self.site.node.train("weights.py", **options))

    def _act(self) -> None:
        names, weights = zip(*ACTS, strict=True)
        victims = list(self.random.choices(names, weights)[0])
        self.random.shuffle(victims)
        life = self.lives[-1]
        life.remark("begin", BEGUN)
        life.remark("try", BEGUN, len(told(life, "try")) + self.random.randint(1, 5))
        time.sleep(self.random.uniform(0, 0.5))
        for name in victims:
            self._kill(name)
        time.sleep(self.random.choice([0.0, 0.0, 0.3]))
        self._restart(victims)

    def _kill(self, name: str) -> None:
        self._process(name).kill()
        self.count[name] += 1
        if name == TRAINER:
            self._settle_life()

    def _restart(self, victims: list[str]) -> None:
        """A trainer last, once the daemon is there: which is when its history is one line."""
        self.random.shuffle(victims)
        for name in victims:
            if name != TRAINER:
                self._process(name).launch()
        for name in set(victims) - {TRAINER}:
            self._process(name).wait_ready()
        if TRAINER in victims:
            self._train()

    def _settle_life(self) -> None:
        """What the life that ended was told at its beginning, and what it leaves to the next ones."""
        life = self.lives[-1]
        found = next((one.split() for one in life.remarks if one.startswith("found ")), None)
        if found is not None and self.newest >= 0:
            assert found[1] != "none", f"step {self.newest} was handed over, and nothing was found"
            assert int(found[1]) >= self.newest, f"found {found[1]}, {self.newest} was handed over"
        if found is not None and found[1] != "none":
            assert found[3] == "ok", f"broken: {found}"
            tried = {(one.step, one.digest) for each in self.lives for one in told(each, "try")}
            assert (int(found[1]), found[2]) in tried, f"nobody saved {found}"
        kept = [one.step for one in told(life, "saved") if one.way != "file"]
        self.newest = max([self.newest, *kept])

    def _check(self) -> int:
        """Compare all that the hub shows with what was saved; how many there are."""
        shown = self.site.view.checkpoints(PROJECT, RUN)
        assert shown, "no checkpoint is visible"
        assert shown[0]["step"] >= self.newest, f"{shown[0]['step']} is the newest, {self.newest} was saved"
        every = self.site.view.checkpoints(PROJECT, RUN, every=True)
        by_attempt = {str(life.facts["attempt_id"]): life for life in self.lives if life.facts}
        for one in every:
            assert digest_of(one["bytes"]) == one["metadata"]["digest"], (
                f"step {one['step']} is not what was saved"
            )
            tried = told(by_attempt[one["attempt_id"]], "try")
            assert (one["step"], one["metadata"]["digest"]) in {(each.step, each.digest) for each in tried}
            assert right(one["bytes"]), f"step {one['step']} does not load as it was"
        return len(every) + self._check_files()

    def _check_files(self) -> int:
        tried = {one.digest for life in self.lives for one in told(life, "try") if one.way == "file"}
        saved = {one.digest for life in self.lives for one in told(life, "saved") if one.way == "file"}
        newest = self.site.view.file(PROJECT, RUN, NAME)
        assert newest is not None or not saved, "a file was saved and is not there"
        versions = self.site.view.files(PROJECT, RUN, every=True)
        bodies = [self.site.view.part(PROJECT, RUN, one["digest"]) for one in versions if one["name"] == NAME]
        for body in [newest, *bodies]:
            assert body is not None, "a version is listed and not there"
            assert digest_of(body) in tried, "a version of the file is not what was saved"
            assert right(body), "a version of the file does not load as it was"
        return len(bodies)

    def _distinct(self) -> int:
        return sum(
            os.path.getsize(os.path.join(folder, name))
            for folder, _, names in os.walk(self.site.path("hub", "blobs"))
            for name in names
        )


def told(life: Life, word: str) -> list[Told]:
    """What a life noted of its saves."""
    found = (one.split() for one in life.remarks)
    return [Told(one[1], int(one[2]), one[3]) for one in found if one[0] == word]


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def right(data: bytes) -> bool:
    """Whether bytes load, and are the state that they say they are."""
    sys.path.insert(0, TRAINERS)
    try:
        import weights
    finally:
        sys.path.remove(TRAINERS)
    found: Any = weights.right(data, SIZE)
    return bool(found)


def storm(seed: int, kills: int, saves: int) -> Outcome:
    with Site() as site, Relay(site.hub_url) as relay:
        return CheckpointStorm(site, relay, seed, kills, saves).run()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--saves", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"checkpoint storm: seed {options.seed}, at least {options.kills} kills", flush=True)
    print(storm(options.seed, options.kills, options.saves))
    return 0


if __name__ == "__main__":
    sys.exit(main())
