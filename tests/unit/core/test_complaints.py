"""Warnings are read by whom they concern."""

from respoold.core.complaints import EVERYBODY, MOST, Complaints


def test_each_reads_his_own_and_what_concerns_everybody():
    said = Complaints()
    said.warn(1, "ada's run failed")
    said.warn(2, "bob's run failed")
    said.warn(EVERYBODY, "the disk failed")
    assert said.of(1) == ["the disk failed", "ada's run failed"]
    assert said.of(3) == ["the disk failed"]
    assert len(said.of(0, all_users=True)) == 3


def test_a_users_warnings_push_out_his_own_only_and_are_replaced_and_resolved_by_subject():
    said = Complaints()
    said.warn(2, "kept")
    for number in range(MOST + 10):
        said.warn(1, f"w{number}")
    assert (len(said.of(1)), said.of(1)[0], said.of(2)) == (MOST, "w10", ["kept"])
    said.warn(2, "first", "run")
    said.warn(2, "second", "run")
    assert said.of(2) == ["kept", "second"]
    said.resolve(2, "run")
    said.resolve(9, "nothing")
    assert said.of(2) == ["kept"]
