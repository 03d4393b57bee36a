"""What happens on the demo's stage, in the order in which it is told.

The kills are tied to steps, not to seconds, so that a fast machine and a slow one see the same play.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any, NamedTuple

from blake3 import blake3

from respoold.cli.commands.status import what_waits
from respoold.cli.demo import truth
from respoold.cli.demo.check import Claim, history_claims, none_or, record_claims, repeated
from respoold.cli.demo.ending import show_ending
from respoold.cli.demo.stage import Stage, open_stage, wait
from respoold.cli.demo.told import Told
from respoold.cli.errors import CommandError, Exit
from respoold.cli.history_rows import Query, rows
from respoold.cli.hub import Hub
from respoold.cli.runs import RunPath, resolve
from respoold.cli.screen import Screen
from respoold.cli.words import count, counted, size

EVERY = 50
START_SECONDS = 30.0
STEP_SECONDS = 60.0
DRAIN_SECONDS = 60.0
CHECKPOINT = "checkpoint.npz"


class Cues(NamedTuple):
    """The steps at which something happens."""

    trainer: int
    daemon: int
    daemon_back: int
    hub: int
    trainer_again: int
    hub_back: int


def cues_of(steps: int) -> Cues:
    """Spread over the training; the trainer never dies right behind a checkpoint."""

    def late(share: float) -> int:
        return int(steps * share) // EVERY * EVERY + EVERY * 7 // 10

    return Cues(
        late(0.25), int(steps * 0.42), int(steps * 0.52), int(steps * 0.62), late(0.72), int(steps * 0.9)
    )


def play(screen: Screen, keep: str | None, steps: int) -> int:
    """The whole demo; 0 if everything that must hold does."""
    cues, told = cues_of(steps), Told(screen, steps)
    screen.say("A training run is killed, resumes where it was, and keeps one history.", "bold")
    screen.say()
    with closing(told), open_stage(keep, steps, EVERY, told.watch) as stage:
        _begin(stage, told)
        _trainer_dies(stage, told, cues.trainer)
        _daemon_dies(stage, told, cues)
        _hub_dies(stage, told, cues)
        _finish(stage, told)
        with stage.hub_client() as hub:
            holds = _judge(screen, stage, told, hub)
    _bow(screen, told, keep, holds=holds)
    return Exit.DONE if holds else Exit.BAD


def _bow(screen: Screen, told: Told, keep: str | None, *, holds: bool) -> None:
    screen.say()
    if holds:
        screen.say(f"One history, through {counted(len(told.marks), 'SIGKILL')}.", "bold green")
    else:
        screen.say("Something that must hold does not.", "bold red")
    left = f"Everything is kept in {keep}" if keep else "Nothing is left running and the folder is gone"
    screen.say(f"{left}. It took {told.seconds:.0f} s.")
    if holds:
        screen.say("Next: `respool up` here, `import respool` in your script.")
    elif not keep:
        screen.say("Run it again with --keep DIR, and look into DIR/log.")


def _begin(stage: Stage, told: Told) -> None:
    told.tell("stage", f"everything happens in {stage.folder}")
    stage.open_hub()
    told.tell("hub", f"pid {stage.hub.pid}, on a Unix socket, with a key of its own")
    stage.household.start_daemon()
    told.tell("daemon", f"pid {stage.daemon.pid}, its spool beside it")
    _start_trainer(stage, told, "learns 1 797 handwritten digits")


def _start_trainer(stage: Stage, told: Told, what: str) -> None:
    """Start it and wait for its first row, whose step tells whether it resumed."""
    child = stage.start_trainer()
    stage.wait_step(0, START_SECONDS)
    first = truth.read(stage.truths[-1])[0]
    told.tell(
        "trainer",
        f"attempt {len(stage.trainers)}, pid {child.pid}: {what.format(count(first.step))}",
        "green",
    )


def _trainer_dies(stage: Stage, told: Told, at: int) -> None:
    stage.wait_step(at, STEP_SECONDS)
    _kill_trainer(stage, told)
    _start_trainer(stage, told, "resumed at step {} from its checkpoint")


def _kill_trainer(stage: Stage, told: Told) -> None:
    stage.trainer.kill()
    row = truth.last(stage.truths[-1])
    if row is None:
        raise stage.trainer.failure("was killed before it logged anything")
    saved = (row.step + 1) // EVERY * EVERY - 1
    told.kill(
        row.step, "trainer", f"trainer at step {count(row.step)}; its last checkpoint: step {count(saved)}"
    )
    told.ends.append(f"SIGKILL at step {count(row.step)}")


def _daemon_dies(stage: Stage, told: Told, cues: Cues) -> None:
    row = stage.wait_step(cues.daemon, STEP_SECONDS)
    stage.daemon.kill()
    told.kill(row.step, "daemon", f"daemon at step {count(row.step)}; the training goes on")
    back = stage.wait_step(cues.daemon_back, STEP_SECONDS)
    stage.household.start_daemon()
    alone = back.step - row.step
    told.tell("daemon", f"pid {stage.daemon.pid}, back; {counted(alone, 'step')} were logged without it")


def _hub_dies(stage: Stage, told: Told, cues: Cues) -> None:
    row = stage.wait_step(cues.hub, STEP_SECONDS)
    stage.hub.kill()
    told.kill(row.step, "hub", f"hub at step {count(row.step)}; the daemon keeps everything here")
    stage.wait_step(cues.trainer_again, STEP_SECONDS)
    _kill_trainer(stage, told)
    _start_trainer(stage, told, "resumed at step {} without the hub")
    stage.wait_step(cues.hub_back, STEP_SECONDS)
    status = stage.status() or {}
    told.tell("daemon", f"waiting for the hub: {', '.join(what_waits(status)) or 'nothing'}", "yellow")
    stage.household.start_hub()
    told.tell("hub", f"pid {stage.hub.pid}, back on the same data")


def _finish(stage: Stage, told: Told) -> None:
    code = wait(lambda: _end_of(stage), 2 * STEP_SECONDS, "the end of the training")
    row = truth.last(stage.truths[-1])
    if code or row is None or row.step != stage.steps - 1:
        raise stage.trainer.failure(f"{stage.trainer.end()} before its last step")
    told.tell("trainer", f"done: loss {row.loss:.3f}, {row.accuracy:.1%} of unseen digits are right", "green")
    told.ends.append("its own end, exit 0")
    wait(lambda: _drained(stage), DRAIN_SECONDS, "the last rows to reach the hub")
    told.tell("daemon", "nothing waits here any more, everything is at the hub")


def _end_of(stage: Stage) -> int | None:
    stage.watch(truth.last(stage.truths[-1]))
    stage.check()
    return stage.trainer.code


def _drained(stage: Stage) -> bool | None:
    stage.check()
    status = stage.status()
    return True if status is not None and status.get("hub_reachable") and not what_waits(status) else None


def _judge(screen: Screen, stage: Stage, told: Told, hub: Hub) -> bool:
    """Count, and show. Does everything hold that must?"""
    path = resolve(hub, "digits/mlp")
    found = wait(lambda: _ended(hub, path), DRAIN_SECONDS, "the hub to call the run finished")
    truths = [truth.read(name) for name in stage.truths]
    history = list(rows(hub, Query(path)))
    claims = history_claims(truths, history, stage.steps)
    with closing(rows(hub, Query(path, everything=True))) as records:
        claims += record_claims(truths, records)
    claims += _run_claims(stage, hub, path, found)
    show_ending(screen, found, truths, history, told.marks, told.ends)
    screen.say()
    for claim in claims:
        screen.say(
            f"  {screen.paint('ok ', 'green') if claim.holds else screen.paint('NOT', 'red')} {claim.text}"
        )
    return all(claim.holds for claim in claims)


def _ended(hub: Hub, path: RunPath) -> dict[str, Any] | None:
    found = hub.get(path.url())
    return found if found.get("state") not in {"running", "silent"} else None


def _run_claims(stage: Stage, hub: Hub, path: RunPath, found: dict[str, Any]) -> list[Claim]:
    """Of the run: its state, its attempts, nothing lost, the checkpoint to the last bit."""
    attempts = len(found.get("attempts") or [])
    twice, equal = repeated([truth.read(name) for name in stage.truths])
    own, stored, octets = _checkpoint(stage, hub, path)
    return [
        Claim(
            f"the run is {found.get('state')}, after {counted(attempts, 'attempt')}",
            found.get("state") == "finished" and attempts == len(stage.trainers),
        ),
        Claim(f"{none_or(int(found.get('lost') or 0), 'row', 'rows')} lost", not found.get("lost")),
        Claim(
            f"{count(equal)} of {count(twice)} steps that were trained twice came out the same",
            equal == twice,
        ),
        Claim(f"the checkpoint at the hub is the trainer's, bit for bit ({size(octets)})", own == stored),
    ]


def _checkpoint(stage: Stage, hub: Hub, path: RunPath) -> tuple[str, str, int]:
    """BLAKE3 of the trainer's own file and of what the hub sends for it."""
    with open(os.path.join(stage.folder, "work", CHECKPOINT), "rb") as file:
        own = blake3(file.read()).hexdigest()
    hasher, octets = blake3(), 0
    try:
        with hub.stream(path.url("files", CHECKPOINT)) as response:
            for chunk in hub.chunks(response):
                hasher.update(chunk)
                octets += len(chunk)
    except CommandError as error:
        return own, error.cause, 0
    return own, hasher.hexdigest(), octets
