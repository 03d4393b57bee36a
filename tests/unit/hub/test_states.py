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
