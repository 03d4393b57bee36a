"""Attempts that were answered without the hub, registered in any order of arrival: one history, always the same."""

from itertools import permutations
from typing import NamedTuple

import pytest

from respool_hub.service.mend import Wish, mend
from unit.hub.kit import Desk, name, rows


class Life(NamedTuple):
    """One offline attempt as its node believes it was. `parent`: a letter, None for none, "?" for unknown."""

    parent: str | None
    steps: range
    restart: int = 0
    resume: str = "allow"
    offline: bool = True
    identity: str = ""


CHAIN = {
    "a": Life(None, range(5), resume="none"),
    "b": Life("a", range(5, 10)),
    "c": Life("b", range(8, 15)),
    "d": Life("c", range(12, 20)),
}
ROWLESS = {
    "a": Life(None, range(5), resume="none"),
    "b": Life("a", range(0)),
    "c": Life("b", range(4, 9)),
}
FRESH_START = {
    "a": Life(None, range(5), resume="none"),
    "b": Life("a", range(5, 8)),
    "x": Life("b", range(0)),
    "y": Life("x", range(0)),
    "z": Life("y", range(7, 9)),
}
JOB = "slurm:c:1"
STRANGERS = {
    "a": Life("?", range(5), 0, identity=JOB),
    "b": Life("?", range(5, 10), 1, identity=JOB),
    "c": Life("?", range(8, 15), 2, identity=JOB),
    "d": Life("?", range(15, 20), 3, identity=JOB),
}
THERE_AND_BACK = {
    "a": Life("?", range(5), 0, identity=JOB),
    "b": Life("?", range(3, 10), 1, identity=JOB),
    "c": Life("a", range(8, 15), 2, identity=JOB),
    "d": Life("b", range(15, 20), 3, identity=JOB),
}
AUTO = {
    "a": Life(None, range(5), 0, "auto", identity=JOB),
    "b": Life(None, range(5, 10), 1, "auto", identity=JOB),
    "c": Life(None, range(10, 12), 2, "auto", identity=JOB),
}
ROWLESS_BETWEEN = {
    "a": Life("?", range(5), 0, identity=JOB),
    "b": Life("?", range(0), 1, identity=JOB),
    "c": Life("b", range(5, 9), 2, identity=JOB),
}
LOOPED = {
    "a": Life("?", range(5), 0, identity=JOB),
    "b": Life("a", range(5, 10), 0, identity=JOB),
    "c": Life("?", range(8, 12), 1, identity=JOB),
    "d": Life("c", range(12, 14), 1, identity=JOB),
}
STORIES = {
    "a chain": (CHAIN, "abcd"),
    "a chain over one without rows": (ROWLESS, "abc"),
    "candidates without rows": (FRESH_START, "abxyz"),
    "lives that knew nothing": (STRANGERS, "abcd"),
    "two nodes in turn": (THERE_AND_BACK, "abcd"),
    "auto-resumes that began": (AUTO, "abc"),
    "a life without rows between": (ROWLESS_BETWEEN, "abc"),
    "a restart loop on each node": (LOOPED, "abcd"),
}


def expected(story, lineage):
    """Step -> letter, as the last of a lineage to write it wrote it, each cutting at its first row."""
    shown = {}
    for letter in lineage:
        steps = story[letter].steps
        if steps:
            shown = {step: who for step, who in shown.items() if step < steps.start}
        shown |= dict.fromkeys(steps, letter)
    return shown


class Arrival:
    """One run in which attempts arrive; its names are its own."""

    def __init__(self, desk, number, story):
        self.desk, self.story, self.run_id = desk, story, f"run-{number}"
        self.ids = {letter: name(1000 * number + ord(letter)) for letter in story}

    def attach(self, letter):
        life = self.story[letter]
        self.desk.attach(
            self.ids[letter], self.run_id, life.resume, offline=life.offline, restart_count=life.restart,
            parent=self.ids.get(life.parent), parent_known=life.parent != "?", identity=life.identity,
            node=f"n-{letter}", launch=f"{life.identity}:{life.restart}",
        )  # fmt: skip

    def write(self, letter):
        if self.story[letter].steps:
            self.desk.append(self.ids[letter], 0, rows(0, self.story[letter].steps, who=letter))

    def end(self, letter):
        self.desk.report(self.ids[letter], "gone")

    def found(self):
        """Head, whether the run is called diverged, and step -> letter."""
        shown = self.desk.show(self.run_id)
        letters = {attempt: letter for letter, attempt in self.ids.items()}
        told = {line.split(b'"_step":')[1].split(b",")[0]: line for line in map(to_bytes, self.lines())}
        steps = {int(step): line.split(b'"who":"')[1][:1].decode() for step, line in told.items()}
        return letters[shown["head"]], shown["diverged"], steps

    def lines(self):
        return self.desk.lines(self.run_id)


def to_bytes(line):
    return line if isinstance(line, bytes) else line.encode()


def one_by_one(arrival, order):
    for letter in order:
        arrival.attach(letter)
        arrival.write(letter)
        arrival.end(letter)


def all_at_once(arrival, order):
    for does in (arrival.attach, arrival.write, arrival.end):
        for letter in order:
            does(letter)


def backwards(arrival, order):
    for letter in order:
        arrival.attach(letter)
    for letter in reversed(order):
        arrival.end(letter)
        arrival.write(letter)


@pytest.mark.parametrize("how", [one_by_one, all_at_once, backwards])
@pytest.mark.parametrize("called", STORIES)
def test_one_history_in_any_order_of_arrival(desk: Desk, called, how):
    story, lineage = STORIES[called]
    head = max(letter for letter in lineage if story[letter].steps)
    for number, order in enumerate(permutations(story)):
        arrival = Arrival(desk, number, story)
        how(arrival, order)
        assert arrival.found() == (head, False, expected(story, lineage)), "".join(order)


A, B, C = (name(number) for number in (1, 2, 3))


def shown(desk):
    found = desk.show()
    return found["head"], found["diverged"], len(desk.lines())


def test_an_attempt_that_knew_nothing_never_continues_its_own_child(desk):
    desk.attach(B, offline=True, parent=A)
    desk.append(B, 0, rows(0, range(10, 15)))
    desk.report(B, "gone")
    desk.attach(A, offline=True, parent_known=False)
    desk.append(A, 0, rows(0, range(5, 10)))
    assert [attempt["parent"] for attempt in desk.show()["attempts"]] == [A, None]
    assert shown(desk) == (B, False, 10)


def test_a_life_never_continues_a_later_one_of_its_job(desk):
    desk.attach(B, offline=True, resume="none", identity=JOB, restart_count=1)
    desk.append(B, 0, rows(0, range(5)))
    desk.report(B, "gone")
    desk.attach(A, offline=True, parent_known=False, identity=JOB, restart_count=0)
    desk.append(A, 0, rows(0, range(5, 15)))
    assert (desk.head(), len(desk.lines())) == (B, 5)


def test_a_life_that_the_hub_began_continues_the_one_whose_spool_came_later(desk):
    desk.attach(
        "", incarnation="b:1:1:0", resume="auto", base="run", identity=JOB, restart_count=1, launch="l:1"
    )
    later = desk.head()
    desk.append(later, 0, rows(0, range(5, 9)))
    desk.attach(A, offline=True, parent_known=False, identity=JOB, restart_count=0)
    desk.append(A, 0, rows(0, range(5)))
    assert shown(desk) == (later, False, 9)


def test_what_was_grafted_by_hand_stays_where_it_is(desk):
    for attempt, life in ((A, 0), (C, 2)):
        desk.attach(attempt, offline=True, parent_known=False, identity=JOB, restart_count=life)
        desk.append(attempt, 0, rows(0, range(5 * life, 5 * life + 5)))
    desk.write(lambda tx: mend(tx, tx.run("anna", "p", "run"), Wish("graft", "2", "1"), "anna", 1.0))
    desk.attach(B, offline=True, parent_known=False, identity=JOB, restart_count=1)
    desk.append(B, 0, rows(0, range(5, 10)))
    assert [attempt["parent"] for attempt in desk.show()["attempts"]] == [None, A, A]
    assert shown(desk) == (C, True, 10)


def test_two_lives_of_different_jobs_that_knew_nothing_diverge(desk):
    for attempt, job in ((A, "slurm:c:1"), (B, "slurm:c:2")):
        desk.attach(attempt, offline=True, parent_known=False, identity=job)
        desk.append(attempt, 0, rows(0, range(5)))
    assert shown(desk) == (A, True, 5)


def test_a_restart_in_one_life_continues_the_one_before_it_whose_rows_came_later(desk):
    desk.attach(A, offline=True, parent_known=False, identity=JOB, restart_count=0)
    desk.append(A, 0, rows(0, range(5)))
    desk.report(A, "gone")
    life = {"identity": JOB, "restart_count": 1, "launch": "l:1", "node": "n2"}
    desk.attach(B, offline=True, parent_known=False, **life)
    online = {"incarnation": "b:9:9:0", "base": "run", "dead": [B], "parent": B, **life}
    desk.attach("", resume="auto", **online)
    third = desk.show()["attempts"][2]["attempt_id"]
    desk.append(third, 0, rows(0, range(10, 15)))
    desk.append(B, 0, rows(0, range(5, 10)))
    assert shown(desk) == (third, False, 15)
