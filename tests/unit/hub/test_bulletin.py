"""One daemon asks a SLURM controller for all of a cluster: who, and how the others hear of what it found."""

from __future__ import annotations

import pytest

from respool_hub.service import beats
from respool_hub.service.access import Caller, Scope
from respoold.core import hubapi
from respoold.core.bulletin import LEASE_SECONDS, Bulletin, events
from respoold.core.notice import Foreseen, Withdrawn
from respoold.core.notice_words import SLURM, SLURM_LIMIT
from unit.hub.kit import ANNA, Desk, name

BERT = Caller("bert", Scope.WRITE, None, "k-bert")


class Node:
    """A daemon's part, and its heartbeats to a desk."""

    def __init__(self, desk: Desk, called: str, *jobs: str, who: Caller = ANNA) -> None:
        self.desk, self.called, self.who = desk, called, who
        self.jobs = [f"slurm:mini:{job}" for job in jobs]
        self.bulletin = Bulletin()

    def beat(self) -> dict[str, object]:
        now = self.desk.clock.wall()
        beat = hubapi.Beat(self.called, "d", {}, self.bulletin.watched(self.jobs, now))
        answer = self.desk.write(lambda tx: beats.beat(tx, self.who, beat, self.desk.hub.now()))
        self.bulletin.answered(beat.watched, answer.leads, now)
        return answer.foreseen

    @property
    def leads(self) -> bool:
        return self.bulletin.led(self.desk.clock.wall()) == ["mini"]


@pytest.fixture
def nodes(desk: Desk) -> list[Node]:
    return [Node(desk, f"n{number}", str(number)) for number in range(5)]


def test_one_of_many_asks_and_all_hear_of_their_own_jobs(desk: Desk, nodes: list[Node]) -> None:
    for one in nodes:
        one.beat()
    assert [one.leads for one in nodes] == [True, False, False, False, False]
    assert nodes[0].bulletin.found("mini", {"3": [SLURM, 90.0], "77": [SLURM, 90.0]})
    assert not nodes[0].bulletin.found("mini", {"3": [SLURM, 90.0], "77": [SLURM, 90.0]})
    nodes[0].beat()
    heard = [one.beat()["mini"] for one in nodes]
    assert heard == [{}, {}, {}, {"3": [SLURM, 90.0]}, {}]


def test_another_asks_when_the_one_who_did_is_silent_and_nothing_is_forgotten(
    desk: Desk, nodes: list[Node]
) -> None:
    first, second = nodes[3], nodes[4]
    first.beat()
    first.bulletin.found("mini", {"4": [SLURM, 90.0]})
    first.beat()
    desk.clock.advance(LEASE_SECONDS - 1)
    second.beat()
    assert (first.leads, second.leads) == (True, False)
    desk.clock.advance(2)
    assert second.beat()["mini"] == {"4": [SLURM, 90.0]}
    first.beat()
    assert (first.leads, second.leads) == (False, True)


def test_a_clock_that_went_back_keeps_nobody_in_office(desk: Desk, nodes: list[Node]) -> None:
    nodes[0].beat()
    desk.clock.start -= 1e6
    nodes[1].beat()
    assert nodes[1].leads


def test_no_user_can_foresee_for_another(desk: Desk, nodes: list[Node]) -> None:
    bert = Node(desk, "n9", "3", who=BERT)
    bert.beat()
    assert bert.leads
    bert.bulletin.found("mini", {"3": [SLURM, 90.0]})
    bert.beat()
    assert nodes[3].beat() == {"mini": {}}
    assert nodes[3].leads
    token = Node(desk, "n8", "3", who=ANNA._replace(attempt=name(1)))
    assert token.beat() == {}
    assert not token.leads


@pytest.mark.parametrize(
    "watched",
    [
        {"mini": 5},
        {"mini": {"jobs": 7, "found": 8}},
        {"mini": {"jobs": [[], {}, 3], "found": {"3": 4}}},
        {3: {}, "x" * 9999: {"found": {"3": ["a", float("nan")], "4": ["a"], "5": [1, "b"]}}},
    ],
)
def test_garbage_is_no_bulletin(desk: Desk, watched: dict[str, object]) -> None:
    beat = hubapi.Beat("n1", "d", {}, watched)  # type: ignore[arg-type]
    for _ in range(2):
        desk.write(lambda tx: beats.beat(tx, ANNA, beat, desk.hub.now()))


def test_an_answer_says_of_each_job_here_what_stands_and_what_does_not() -> None:
    jobs = ["slurm:mini:3", "slurm:mini:4", "slurm:other:3", "k8s:3", "slurm:5"]
    said = events(jobs, {"mini": {"3": [SLURM, 90.0]}, "": {"5": "garbage"}})
    assert [one for one in said if isinstance(one, Foreseen)] == [Foreseen(SLURM, 90.0, "slurm:mini:3")]
    assert [one for one in said if isinstance(one, Withdrawn)] == [
        Withdrawn(SLURM_LIMIT, "slurm:mini:3"),
        Withdrawn(SLURM, "slurm:mini:4"),
        Withdrawn(SLURM_LIMIT, "slurm:mini:4"),
        Withdrawn(SLURM, "slurm:5"),
        Withdrawn(SLURM_LIMIT, "slurm:5"),
    ]
