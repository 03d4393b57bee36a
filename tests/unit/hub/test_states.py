import pytest

from respool.wire.frames import Kind
from unit.hub.kit import Desk, FakeClock, name, record, rows

A = name(1)


def ended(code, **more):
    return {"state": "ended", "exit_code": code, "reason": "x", **more}


def test_silence_is_shown_and_then_judged(desk):
    desk.attach(A)
    seen = []
    for _ in range(8):
        seen.append(desk.show()["state"])
        desk.clock.advance(45)
    assert seen == ["running"] + ["silent"] * 6 + ["crashed"]


def test_a_marked_attempt_that_falls_silent_was_preempted(desk):
    desk.attach(A)
    desk.report(A, "preempting")
    assert desk.show()["state"] == "preempting"
    desk.clock.advance(301)
    assert desk.show()["state"] == "preempted"


def test_no_state_is_final_against_evidence(desk):
    desk.attach(A)
    desk.report(A, "gone")
    assert desk.show()["state"] == "crashed"
    desk.beat(A)
    assert desk.show()["state"] == "running"
    desk.append(A, 0, record(Kind.STATE, 0, ended(0)))
    desk.report(A, "gone")
    assert desk.show()["state"] == "finished"


def test_a_record_of_the_end_carries_exit_code_and_time(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, [0]) + record(Kind.STATE, 1, ended(7), time=4321.0))
    attempt = desk.show()["attempts"][0]
    assert (attempt["state"], attempt["exit_code"], attempt["ended_at"]) == ("failed", 7, 4321.0)


def test_an_exit_code_that_is_no_number_is_none(desk):
    desk.attach(A)
    desk.append(A, 0, record(Kind.STATE, 0, ended("boom")) + record(Kind.STATE, 1, ended(1 << 60)))
    assert desk.show()["attempts"][0]["exit_code"] is None


def test_the_silence_of_a_hub_that_was_away_does_not_count(tmp_path):
    clock = FakeClock()
    first = Desk(tmp_path / "data", clock)
    first.attach(A)
    clock.advance(200)
    first.close()
    clock.advance(10_000)
    second = Desk(tmp_path / "data", clock)
    try:
        assert second.show()["state"] == "running"
        clock.advance(299)
        assert second.show()["state"] == "silent"
    finally:
        second.close()


def test_a_wall_clock_that_jumps_judges_nobody(desk):
    desk.attach(A)
    desk.clock.start += 1e9
    assert desk.show()["state"] == "running"
    desk.clock.start -= 2e9
    assert desk.show()["state"] == "running"


def test_rows_of_a_process_that_is_gone_are_no_sign_of_life(desk):
    desk.attach(A)
    desk.beat(A, alive=False)
    desk.clock.advance(100)
    desk.append(A, 0, rows(0, [0, 1]))
    assert desk.show()["state"] == "silent"


def test_a_carried_spool_is_silent_and_never_crashed(desk):
    desk.attach(A, attended=False)
    desk.clock.advance(10_000)
    desk.append(A, 0, rows(0, [0, 1]))
    assert desk.show()["state"] == "silent"


def test_who_beats_is_watched_from_then_on(desk):
    desk.attach(A, attended=False)
    desk.beat(A)
    desk.clock.advance(301)
    assert desk.show()["state"] == "crashed"


def test_a_beat_tells_what_is_pending_and_learns_what_is_unknown(desk):
    desk.attach(A)
    answer = desk.beat(A, "nobody", pending_records=5, pending_bytes=500)
    shown = desk.show()
    assert answer.unknown == ["nobody"]
    assert (shown["pending_records"], shown["pending_bytes"]) == (5, 500)
    assert shown["heartbeat_at"] == desk.clock.wall()


FOREKNOWN = {
    "marked": lambda desk, one: desk.report(one, "preempting"),
    "marked in a record": lambda desk, one: desk.append(
        one, 1, record(Kind.STATE, 1, {"state": "preempting"})
    ),
    "noticed": lambda desk, one: desk.report(one, "notice", source="slurm", deadline=120.0, at=1.0),
    "noticed in a record": lambda desk, one: desk.append(
        one, 1, record(Kind.STATE, 1, {"state": "preempting", "source": "signal SIGTERM"})
    ),
    "withdrawn": lambda desk, one: (
        desk.report(one, "notice", source="slurm"),
        desk.report(one, "withdrawn", source="slurm"),
    ),
    "neither": lambda desk, one: None,
}
ENDINGS = {
    "exit 0": lambda desk, one: desk.report(one, "ended", exit_code=0),
    "finish()": lambda desk, one: desk.report(one, "ended", exit_code=0, explicit=True),
    "finish() in a record": lambda desk, one: desk.append(one, 1, finish(1) + finish(2)),
    "exit 1": lambda desk, one: desk.report(one, "ended", exit_code=1),
    "gone": lambda desk, one: desk.report(one, "gone"),
    "silent": lambda desk, one: desk.clock.advance(301),
}
TABLE = {
    "marked": ("finished", "finished", "preempted", "preempted", "preempted"),
    "noticed": ("preempted", "finished", "preempted", "preempted", "preempted"),
    "neither": ("finished", "finished", "failed", "crashed", "crashed"),
}
COLUMNS = ("exit 0", "finish()", "exit 1", "gone", "silent")


def finish(seq):
    return record(Kind.STATE, seq, {"state": "ended", "exit_code": 0, "reason": "finish"})


def expected(foreknown):
    line = TABLE["neither" if foreknown == "withdrawn" else foreknown.removesuffix(" in a record")]
    return {ending: line[COLUMNS.index(ending.removesuffix(" in a record"))] for ending in ENDINGS}


@pytest.mark.parametrize("restarted", ["never", "before the end", "after the end"])
@pytest.mark.parametrize("foreknown", FOREKNOWN)
def test_the_whole_table_of_ends_whenever_the_hub_is_restarted(tmp_path, foreknown, restarted):
    clock = FakeClock()
    desk = Desk(tmp_path, clock)
    runs = {ending: (f"run-{number}", name(number)) for number, ending in enumerate(ENDINGS)}
    for run_id, one in runs.values():
        desk.attach(one, run_id)
        desk.append(one, 0, rows(0, [0]))
        FOREKNOWN[foreknown](desk, one)
    if restarted == "before the end":
        desk = again(desk, tmp_path, clock)
    assert {desk.show(run_id)["state"] for run_id, _ in runs.values()} <= {"running", "preempting"}
    for ending, end in ENDINGS.items():
        end(desk, runs[ending][1])
    if restarted == "after the end":
        desk = again(desk, tmp_path, clock)
        clock.advance(301)
    found = {ending: desk.show(run_id)["state"] for ending, (run_id, _) in runs.items()}
    desk.close()
    assert found == expected(foreknown)


def again(desk, folder, clock):
    """The same hub after a night."""
    desk.close()
    clock.advance(36_000)
    return Desk(folder, clock)


def lives_on(desk, seconds):
    for _ in range(int(seconds // 30)):
        desk.clock.advance(30)
        desk.beat(A)


def test_who_outlives_its_notice_was_spared(desk):
    desk.attach(A)
    desk.report(A, "notice", source="ec2", deadline=desk.clock.wall() + 120, at=desk.clock.wall())
    lives_on(desk, 400)
    assert desk.show()["state"] == "preempting"
    lives_on(desk, 60)
    assert desk.show()["state"] == "running"
    desk.report(A, "gone")
    assert desk.show()["state"] == "crashed"


def test_a_notice_outlasts_a_node_s_clock_that_is_wrong_and_a_restart_of_the_hub(tmp_path):
    clock = FakeClock()
    desk = Desk(tmp_path / "data", clock)
    desk.attach(A)
    desk.report(A, "notice", source="ec2", deadline=500.0, at=380.0)
    lives_on(desk, 300)
    desk = again(desk, tmp_path / "data", clock)
    lives_on(desk, 3000)
    found = desk.show()["state"]
    lives_on(desk, 1000)
    assert (found, desk.show()["state"]) == ("preempting", "running")
    desk.close()


def test_a_notice_is_withdrawn_by_its_own_source_only(desk):
    desk.attach(A)
    desk.report(A, "notice", source="slurm")
    desk.report(A, "withdrawn", source="ec2")
    assert desk.show()["state"] == "preempting"
    desk.report(A, "withdrawn", source="slurm")
    assert desk.show()["state"] == "running"


def test_who_comes_back_after_any_end_without_a_record_goes_on(desk):
    desk.attach(A)
    desk.report(A, "notice", source="slurm")
    desk.clock.advance(301)
    assert desk.show()["state"] == "preempted"
    desk.beat(A)
    desk.report(A, "withdrawn")
    assert desk.show()["state"] == "running"
