import pytest

from respool.wire.frames import Kind
from unit.hub.kit import name, record, row, rows

A, B, C = (name(number) for number in (1, 2, 3))


def resumed(desk, steps=range(10)):
    desk.attach(A)
    desk.append(A, 0, rows(0, steps))
    desk.clock.advance(50)
    desk.attach(B)


def test_a_rewind_takes_the_head_before_any_row(desk):
    resumed(desk)
    desk.append(B, 0, record(Kind.CUT, 0, {"step": 5}))
    assert desk.head() == B
    assert [attempt["cut"] for attempt in desk.show()["attempts"]] == [None, 5]
    assert len(desk.lines()) == 5


def test_a_snapshot_takes_no_head(desk):
    resumed(desk)
    desk.append(B, 0, record(Kind.SNAPSHOT, 0, {"config": {}, "summary": {}, "meta": {}, "last_step": 9}))
    assert desk.head() == A


def test_the_old_attempt_is_told_by_its_next_batch_and_its_next_beat(desk):
    resumed(desk)
    assert not desk.append(A, 10, row(10, 10)).appended.superseded
    desk.append(B, 0, row(0, 10))
    assert desk.append(A, 11, row(11, 11)).appended.superseded
    answer = desk.beat(A, B)
    assert answer.commands == {A: [{"command": "superseded", "head": B}]}


def test_an_attempt_that_was_taken_over_alive_is_superseded_and_its_rows_stay_on_its_branch(desk):
    resumed(desk)
    desk.append(B, 0, row(0, 10))
    desk.append(A, 10, rows(10, [10, 11], loss=99.0))
    assert [attempt["state"] for attempt in desk.show()["attempts"]] == ["superseded", "running"]
    assert len(desk.lines()) == 11
    assert sum('"_hidden":true' in line for line in desk.lines(every=True)) == 2


def test_of_two_candidates_the_later_one_keeps_the_head(desk):
    resumed(desk)
    desk.attach(C)
    desk.append(C, 0, row(0, 10))
    assert desk.append(B, 0, row(0, 10)).appended.superseded
    assert (desk.head(), desk.show()["diverged"]) == (C, True)


def test_a_later_candidate_takes_the_head_from_an_earlier_one(desk):
    resumed(desk)
    desk.attach(C)
    desk.append(B, 0, row(0, 10))
    desk.append(C, 0, row(0, 10))
    assert desk.head() == C


def test_an_attempt_whose_child_came_first_is_on_the_lineage_and_no_branch(desk):
    resumed(desk)
    desk.attach(C, parent=B, dead=[B])
    desk.append(C, 0, row(0, 20))
    desk.append(B, 0, rows(0, range(10, 20)))
    shown = desk.show()
    assert (shown["head"], shown["diverged"], len(desk.lines())) == (C, False, 21)


def test_a_start_over_leaves_the_old_history_on_a_branch(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(10)))
    desk.report(A, "ended", exit_code=0)
    desk.attach(B, resume="none")
    assert len(desk.lines()) == 10
    desk.append(B, 0, row(0, 0))
    assert len(desk.lines()) == 1
    assert [attempt["state"] for attempt in desk.show()["attempts"]] == ["finished", "running"]


def test_a_head_without_a_row_that_ended_is_nobodys_history(desk):
    desk.attach(A)
    desk.report(A, "gone")
    desk.attach(B, offline=True, parent_known=True, parent=None)
    desk.append(B, 0, row(0, 0))
    assert (desk.head(), desk.show()["diverged"]) == (B, False)


@pytest.mark.parametrize("how", ["offline", "online", "started over"])
@pytest.mark.parametrize("quiet", [1, 60])
def test_a_head_without_a_row_never_pushes_one_with_rows_off_the_lineage(desk, how, quiet):
    desk.attach(A)
    desk.clock.advance(quiet)
    more = {
        "offline": {"offline": True},
        "online": {"takeover": True},
        "started over": {"takeover": True, "resume": "none"},
    }
    desk.attach(B, **more[how])
    desk.append(B, 0, rows(0, range(310)))
    shown = desk.show()
    assert (desk.head(), shown["diverged"], len(desk.lines())) == (B, False, 310)


def test_a_head_that_yielded_is_a_candidate_when_its_first_row_comes(desk):
    desk.attach(A)
    desk.attach(B, offline=True, parent_known=True)
    desk.append(B, 0, rows(0, range(5)))
    assert desk.show()["attempts"][0]["state"] == "running"
    assert desk.append(A, 0, row(0, 0)).appended.superseded
    assert (desk.head(), desk.show()["diverged"], len(desk.lines())) == (B, True, 5)


def test_a_child_that_was_the_first_to_register_gets_the_head_back_along_its_chain(desk):
    desk.attach(A, offline=True, parent=B)
    desk.attach(C, offline=True, parent_known=True)
    desk.append(C, 0, rows(0, range(5)))
    desk.append(A, 0, rows(0, range(8, 10)))
    desk.attach(B, offline=True, parent=C)
    desk.append(B, 0, rows(0, range(5, 8)))
    assert (desk.head(), desk.show()["diverged"], len(desk.lines())) == (A, False, 10)


def test_the_state_is_the_heads_unless_a_younger_one_lives(desk):
    resumed(desk)
    assert desk.show()["state"] == "running"
    desk.clock.advance(60)
    assert desk.show()["state"] == "silent"


@pytest.mark.parametrize(("first", "diverged"), [(40, False), (45, False), (20, True)])
def test_who_begins_on_another_node_before_the_head_did_is_not_taken_for_its_successor(desk, first, diverged):
    """Nobody knows what the third continued; as a child it would hide all of the second."""
    desk.attach(A, offline=True, parent_known=True)
    desk.append(A, 0, rows(0, range(25)))
    desk.attach(B, offline=True, parent_known=True, parent=A)
    desk.append(B, 0, rows(0, range(40, 60)))
    for one in (A, B):
        desk.report(one, "gone")
    desk.attach(C, offline=True, parent_known=False, node="n2")
    desk.append(C, 0, rows(0, range(first, first + 30)))
    assert desk.show()["diverged"] is diverged
    assert desk.head() == (B if diverged else C)


def test_on_one_node_who_goes_back_to_an_old_checkpoint_continues_the_head_all_the_same(desk):
    desk.attach(A, offline=True, parent_known=True)
    desk.append(A, 0, rows(0, range(40, 60)))
    desk.report(A, "gone")
    desk.attach(B, offline=True, parent_known=False)
    desk.append(B, 0, rows(0, range(20, 50)))
    assert desk.show()["diverged"] is False
    assert desk.head() == B
