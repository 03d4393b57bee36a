"""One attempt as its keeper knows it: what is pending, what was told, what is left when segments go."""

from typing import Any

import pytest

from respool.wire import codec
from respool.wire.attempt import AttemptFile, Request
from respool.wire.errors import FormatError, WireError
from respool.wire.frames import NO_STEP, Frame, Kind, encode, walk
from respool.wire.messages import Refused
from respool.wire.segment import NO_MARK
from respoold.core import hubapi
from respoold.core.attempt import Attempt, Told
from respoold.core.file_version import Blob
from respoold.core.memory import Answer, Memory, answer_offline, merge_meta, newest, next_step, of_memory
from respoold.core.node import Node, pending_bytes
from respoold.core.progress import progress_of, restore_progress
from respoold.core.states import State

REQUEST = {"project": "p", "run_id": "r", "original_id": "r", "incarnation": "i"}


def an_attempt(name: str = "a", *, adopted: bool = False, **more: Any) -> Attempt:
    return Attempt(AttemptFile(name, REQUEST, 1000, **more), f"/spool/{name}", adopted=adopted)


def record(seq: int, kind: Kind, value: Any, step: int = NO_STEP) -> bytes:
    payload = value if isinstance(value, bytes) else codec.pack(value)
    return encode(kind, payload, seq=seq, step=step, time=float(seq))


def row(seq: int, step: int | None = None) -> bytes:
    return record(seq, Kind.ROW, {"n": seq}, seq if step is None else step)


def a_file(seq: int, token: str, name: str = "c.tar", **more: Any) -> bytes:
    return record(seq, Kind.FILE, {"blob": token, "name": name, "size": 5} | more, step=seq)


def feed(attempt: Attempt, data: bytes, writer: int = 0) -> list[str]:
    return attempt.note(writer, attempt.tail(writer).feed(data, 0.0).frames, 9.0)


def again(attempt: Attempt) -> Attempt:
    """The same attempt after a restart: its papers, and its progress through a file."""
    found = Attempt(attempt.file, attempt.directory)
    restore_progress(found, codec.unpack(codec.pack(progress_of(attempt))))
    return found


def states(attempt: Attempt) -> dict[str, Blob]:
    return {version.token: version.state for version in attempt.files.values()}


def test_what_was_read_is_pending_until_the_hub_has_it() -> None:
    attempt = an_attempt()
    feed(attempt, row(0) + row(1))
    attempt.tail(0).seal(2)
    feed(attempt, row(2))
    assert attempt.pending_records() == 3
    attempt.acknowledge(0, 2)
    assert (attempt.pending_records(), [one.first_seq for one in attempt.pending(0)]) == (1, [2])
    attempt.acknowledge(0, 1)
    assert attempt.acked == {0: 2}


def test_records_that_are_read_again_after_a_restart_are_not_pending_again() -> None:
    attempt = an_attempt()
    feed(attempt, row(0) + row(1))
    attempt.acknowledge(0, 2)
    later = again(attempt)
    feed(later, row(0) + row(1))
    assert later.pending(0) == []
    assert later.rows == 2


def test_writers_are_counted_apart_and_together() -> None:
    attempt = an_attempt()
    feed(attempt, row(0, 5) + row(1, 6))
    feed(attempt, row(0, 9), writer=1)
    assert (attempt.rows, attempt.last_step, attempt.pending_records()) == (3, 9, 3)
    assert attempt.link.first_steps == (5, 6)
    attempt.acknowledge(1, 1)
    assert [len(attempt.pending(writer)) for writer in (0, 1)] == [1, 0]


def test_a_segment_is_released_when_nothing_of_it_is_pending() -> None:
    attempt = an_attempt()
    feed(attempt, row(0))
    attempt.tail(0).advance(1)
    feed(attempt, row(1))
    assert attempt.released(0) == 0
    attempt.acknowledge(0, 1)
    assert attempt.released(0) == 1
    attempt.acknowledge(0, 2)
    assert attempt.released(0) == 1


def test_a_loss_that_is_put_before_what_is_pending_releases_nothing() -> None:
    attempt = an_attempt()
    feed(attempt, row(0))
    attempt.tail(0).advance(1)
    feed(attempt, row(1))
    attempt.tail(0).acknowledge(1)
    attempt.tail(0).advance(2)
    attempt.tail(0).insert_loss(0, 1, "the hub lost them", 0.0)
    assert attempt.released(0) == 1


def test_what_deleted_segments_amounted_to_survives_them_and_a_restart() -> None:
    attempt = an_attempt()
    feed(attempt, row(0, 1000) + row(1, 1001) + record(2, Kind.STATE, {"state": "preempting"}))
    attempt.tail(0).advance(1)
    feed(attempt, row(3, 1002))
    attempt.acknowledge(0, 3)
    attempt.rebase(0, 1)
    later = again(attempt)
    tail = later.tail(0)
    assert (tail.segment, tail.next_seq) == (1, 3)
    feed(later, row(3, 1002))
    assert (later.rows, later.last_step, later.link) == (attempt.rows, attempt.last_step, attempt.link)
    assert later.facts.marked


def test_a_kill_between_the_note_and_the_deletion_is_made_up_for() -> None:
    attempt = an_attempt()
    feed(attempt, row(0))
    attempt.tail(0).advance(1)
    attempt.acknowledge(0, 1)
    attempt.rebase(0, 1)
    later = again(attempt)
    later.rebase(0, 1)
    assert later.base == attempt.base


def test_a_base_before_a_missing_segment_is_the_next_one_there_is() -> None:
    attempt = an_attempt()
    feed(attempt, row(0))
    attempt.tail(0).advance(3)
    attempt.acknowledge(0, 1)
    attempt.rebase(0, 1)
    assert (attempt.base[0].segment, attempt.base[0].seq) == (3, 1)


def test_events_are_named_as_they_are_read() -> None:
    attempt = an_attempt()
    ended = record(1, Kind.STATE, {"state": "ended", "exit_code": 0})
    assert feed(attempt, a_file(0, "t") + ended + row(2)) == ["file", "state"]
    assert (attempt.state, attempt.over) == (State.FINISHED, True)


def test_only_the_newest_version_of_a_file_waits_to_be_sent() -> None:
    attempt = an_attempt()
    feed(attempt, a_file(0, "t0") + a_file(1, "other", "log.txt") + a_file(2, "t1") + a_file(3, "t2"))
    assert states(attempt) == {
        "t0": Blob.SKIPPED,
        "other": Blob.PENDING,
        "t1": Blob.SKIPPED,
        "t2": Blob.PENDING,
    }
    assert [version.token for version in attempt.pending_files()] == ["t2", "other"]


def test_a_version_that_was_sent_stays_sent_when_a_newer_one_comes() -> None:
    attempt = an_attempt()
    feed(attempt, a_file(0, "t0"))
    attempt.files["t0"] = attempt.files["t0"]._replace(state=Blob.SENT, digest="d")
    feed(attempt, a_file(1, "t1"))
    assert states(attempt) == {"t0": Blob.SENT, "t1": Blob.PENDING}


def test_a_file_record_that_is_read_again_changes_nothing() -> None:
    attempt = an_attempt()
    feed(attempt, a_file(0, "t0"))
    attempt.files["t0"] = attempt.files["t0"]._replace(state=Blob.SENT)
    later = again(attempt)
    assert feed(later, a_file(0, "t0")) == []
    assert states(later) == {"t0": Blob.SENT}


@pytest.mark.parametrize(
    "value",
    [
        b"\xc1",
        codec.pack([]),
        {},
        {"blob": 5},
        {"blob": "t", "name": None, "size": 1},
        {"blob": "t", "name": "n", "size": "1"},
    ],
)
def test_a_file_record_that_is_none_is_passed_over(value: Any) -> None:
    attempt = an_attempt()
    assert feed(attempt, record(0, Kind.FILE, value)) == []
    assert attempt.files == {}


def test_the_hub_is_told_each_fact_once_and_in_order() -> None:
    attempt = an_attempt()
    assert attempt.unreported() == []
    feed(
        attempt,
        record(0, Kind.STATE, {"state": "preempting"})
        + record(1, Kind.STATE, {"state": "ended", "exit_code": 3}),
    )
    attempt.writers[0].gone = True
    told = attempt.unreported()
    assert [(one.said.event, one.said.exit_code) for one in told] == [
        ("preempting", None),
        ("ended", 3),
        ("gone", None),
    ]
    for one in told[:2]:
        attempt.note_told(one)
    assert [one.said.event for one in again(attempt).unreported()] == ["gone"]


def test_an_attempt_is_complete_when_it_is_over_and_the_hub_has_all_of_it() -> None:
    attempt = an_attempt(offline=False)
    feed(attempt, row(0) + a_file(1, "t"))
    attempt.writers[0].gone = True
    steps = [
        lambda: attempt.acknowledge(0, 2),
        lambda: attempt.note_told(attempt.unreported()[0]),
        lambda: attempt.files.update(t=attempt.files["t"]._replace(state=Blob.MISSING)),
    ]
    for step in steps:
        assert not attempt.complete
        step()
    assert attempt.complete
    attempt.registered = False
    assert not attempt.complete


def test_a_candidate_has_moved_when_it_logged_or_rewound() -> None:
    attempt = an_attempt()
    feed(attempt, record(0, Kind.CONFIG, {"set": {"a": 1}}))
    assert not attempt.moved
    feed(attempt, record(1, Kind.CUT, {"step": 5}))
    assert attempt.moved
    other = an_attempt()
    feed(other, row(0))
    assert other.moved


def test_progress_goes_through_its_file_unchanged() -> None:
    attempt = an_attempt()
    feed(attempt, row(0) + a_file(1, "t0") + a_file(2, "t1"))
    attempt.number, attempt.entity, attempt.registered, attempt.superseded = 4, "ada", True, True
    attempt.writers[0].gone, attempt.home, attempt.incarnation = True, "r-2", "hub"
    attempt.notices = {"spot": 7.0}
    attempt.told = Told("spot", 7.0)
    attempt.acknowledge(0, 2)
    # When it was noted is told by a clock that ended with its process.
    attempt.files = {token: version._replace(at=0.0) for token, version in attempt.files.items()}
    assert progress_of(again(attempt)) == progress_of(attempt)
    assert again(attempt).files == attempt.files


@pytest.mark.parametrize(
    "progress",
    [
        {},
        {"acked": {"x": 1}},
        {"acked": {"0": None}},
        {"acked": []},
        {"base": {"0": [1]}},
        {"base": {"0": 5}},
        {"files": {"t": ["t"]}},
        {"files": {"t": ["t", "n", 1, 0, 0, 0, 0.0, "", "unknown state", 0.0]}},
        {"files": {"t": ["t"] * 40}},
        {"reported": 7},
        {"gone": True},
        {"notices": {"spot": "soon"}},
        {"told": [1, 2, 3]},
        {"told": ["spot", "soon"]},
    ],
)
def test_progress_that_is_broken_is_as_good_as_none(progress: dict[str, Any]) -> None:
    attempt = an_attempt(number=3)
    restore_progress(attempt, progress | {"number": 3})
    assert progress_of(attempt) == progress_of(an_attempt(number=3))


def test_an_attempt_that_nobody_watches_is_silent_until_its_end_is_known() -> None:
    attempt = an_attempt(adopted=True)
    assert attempt.state is State.SILENT
    attempt.writers[0].alive = True
    assert attempt.state is State.RUNNING
    attempt.writers[0].alive, attempt.writers[0].gone = False, True
    assert attempt.state is State.CRASHED


def test_what_cannot_be_used_as_papers_makes_no_attempt() -> None:
    with pytest.raises(FormatError, match="Request is incomplete"):
        Attempt(AttemptFile("a", {}, 1), "/spool/a")


def test_a_node_keeps_the_order_of_attempts_and_knows_whose_parents_come_first() -> None:
    node, first, second = Node(), an_attempt("a"), an_attempt("b", parent="a")
    other = Attempt(AttemptFile("c", REQUEST, 2000), "/spool/c")
    for attempt in (first, other, second):
        node.add(attempt)
    assert node.of_run(1000, ("p", "r")) == [first, second]
    assert (node.unregistered_before(first), node.unregistered_before(second)) == (False, True)
    first.registered = True
    assert not node.unregistered_before(second)
    feed(second, row(0))
    assert pending_bytes(node) == len(row(0))
    node.drop("a")
    assert (list(node), "a" in node, node.get("a")) == ([other, second], False, None)


def began(name: str, at: float, parent: str | None = None) -> Attempt:
    return Attempt(AttemptFile(name, REQUEST | {"started_at": at}, 1000, parent=parent), f"/spool/{name}")


@pytest.mark.parametrize(
    "found",
    [
        [began("a", 1), began("c", 3, "b"), began("b", 2, "a")],
        [began("b", 2, "a"), began("c", 3, "b"), began("a", 1)],
        [began("c", 1, "b"), began("b", 2, "a"), began("a", 3)],
        [began("b", 2, "a"), began("c", 1, "b"), began("a", 3)],
        [began("c", 3), began("b", 2), began("a", 1)],
    ],
)
def test_an_attempt_that_is_found_late_takes_its_place(found: list[Attempt]) -> None:
    node = Node()
    for attempt in found:
        node.add(attempt)
    assert [one.id for one in node.of_run(1000, ("p", "r"))] == ["a", "b", "c"]


def closed(name: str, first: int, last: int, **more: Any) -> Attempt:
    attempt = an_attempt(name, **more)
    data = b"".join(row(seq, step) for seq, step in enumerate(range(first, last)))
    attempt.tail(0).close(data, NO_MARK, 0.0)
    return attempt


def test_the_next_step_follows_the_lineage_and_not_the_greatest_step_there_was() -> None:
    first = closed("a", 0, 1235)
    second = closed("b", 1001, 1101, parent="a", resumed=True, step=1235)
    candidate = an_attempt("c", parent="b", resumed=True, step=1101)
    lives = [first, second, candidate]
    assert newest(lives) is second
    assert [next_step(lives, one) for one in lives] == [1235, 1101, 1101]


def test_the_next_step_stands_on_what_was_promised_where_the_parent_is_gone() -> None:
    alone = an_attempt("b", parent="a", resumed=True, step=1235)
    assert next_step([alone], alone) == 1235
    assert (
        next_step(
            [closed("b", 1001, 1101, parent="a", resumed=True, step=1235)],
            closed("b", 1001, 1101, parent="a", resumed=True, step=1235),
        )
        == 1101
    )
    assert next_step([], an_attempt("b")) == 0


def test_papers_that_name_each_other_as_parents_have_a_next_step_all_the_same() -> None:
    lives = [closed("a", 0, 5, parent="b"), closed("b", 3, 8, parent="a"), closed("c", 0, 2, parent="c")]
    assert [next_step(lives, one) for one in lives] == [5, 8, 2]


KNOWN = Answer(True, "head", True, 1235, {"lr": 1}, {"best": 2}, {"name": "n"})


@pytest.mark.parametrize(
    ("resume", "known", "answer"),
    [
        ("none", KNOWN, (False, None, True, 0)),
        ("none", None, (False, None, True, 0)),
        ("allow", KNOWN, (True, "head", True, 1235)),
        ("allow", None, (False, None, False, 0)),
        ("must", KNOWN, (True, "head", True, 1235)),
        ("never", None, (False, None, False, 0)),
        ("auto", KNOWN, (True, "head", True, 1235)),
        ("auto", None, (False, None, False, 0)),
    ],
)
def test_without_the_hub_what_the_node_knows_decides(
    resume: str, known: Answer | None, answer: tuple[Any, ...]
) -> None:
    found = answer_offline(Request("p", "r", "r", "i", resume), known)
    assert isinstance(found, Answer)
    assert found[:4] == answer
    assert found.config == (KNOWN.config if found.resumed else {})


@pytest.mark.parametrize(("resume", "known", "code"), [("must", None, "missing"), ("never", KNOWN, "exists")])
def test_without_the_hub_must_needs_the_run_and_never_its_absence(
    resume: str, known: Answer | None, code: str
) -> None:
    found = answer_offline(Request("p", "r", "r", "i", resume), known)
    assert isinstance(found, Refused)
    assert found.code == code
    assert "p/r" in found.cause
    assert "resume='allow'" in found.advice


def test_who_trusts_may_continue_unseen_what_nobody_here_knows() -> None:
    found = answer_offline(Request("p", "r", "r", "i", "must", trust=True), None)
    assert isinstance(found, Answer)
    assert (found.resumed, found.parent_known) == (False, False)


def test_a_memory_answers_with_what_it_holds() -> None:
    memory = Memory("p", "r", "r", head="h", step=7, config={"lr": 1}, summary={"s": 2}, meta={"name": "n"})
    assert of_memory(memory) == Answer(True, "h", True, 7, {"lr": 1}, {"s": 2}, {"name": "n"})


def test_name_notes_and_tags_carry_over_unless_they_are_passed() -> None:
    old = {"name": "old", "tags": ["a"], "notes": "n"}
    assert merge_meta(old, {"name": None, "tags": ["b"], "group": "g"}) == old | {"tags": ["b"], "group": "g"}


@pytest.mark.parametrize(
    "shape",
    [
        hubapi.Problem("live", "cause", "advice", {"pid": 1}),
        hubapi.AttachRequest("a", "p", "r", "r", "allow", dead=["b"], parent="b", meta={"tags": ["x"]}),
        hubapi.AttachAnswer(
            "ada", "p", "r", 3, "inc", parent="b", resumed=True, step=9, left_behind={"number": 2}
        ),
        hubapi.Appended(9, "inc", superseded=True),
        hubapi.StateReport("ended", 0, 1.5, "done"),
        hubapi.FileCommit("c.tar", "d" * 64, 5, 3, step=7),
        hubapi.Beat("node7", "0.1.0", {"a": {"alive": True}}),
        hubapi.BeatAnswer("inc", {"a": [{"command": "superseded"}]}, ["b"]),
    ],
)
def test_what_daemon_and_hub_say_to_each_other_comes_back_as_it_went_in(shape: Any) -> None:
    assert hubapi.load(type(shape), hubapi.dump(shape)) == shape
    extended = codec.pack(shape._asdict() | {"a new field": 1})
    assert hubapi.load(type(shape), extended) == shape


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", codec.pack([]), codec.pack({}), codec.pack({"next_seq": "9", "incarnation": "i"})],
)
def test_an_answer_that_is_none_is_an_error_of_the_wire(body: bytes) -> None:
    with pytest.raises(WireError):
        hubapi.load(hubapi.Appended, body)


def test_a_loss_made_here_is_a_frame_like_any_other() -> None:
    attempt = an_attempt()
    attempt.tail(0).insert_loss(0, 5, "the hub lost them", 3.0)
    (frame,) = walk(attempt.pending(0)[0].inline).frames
    assert frame._replace(payload=b"") == Frame(0, NO_STEP, Kind.LOSS, 0, 5, 0.0, b"")


@pytest.mark.parametrize(
    ("recorded", "status", "code"),
    [
        (None, 3, 3),
        (None, 0, 0),
        (("exit", 0), 3, 3),
        (("exit", 1), 3, 1),
        (("with", 0), 3, 0),
        (("finish", 0), 3, 0),
        (("rewound", None), 3, None),
    ],
)
def test_the_kernels_word_counts_where_the_process_said_nothing_of_its_exit_code(
    recorded: tuple[str, int | None] | None, status: int, code: int | None
) -> None:
    attempt = an_attempt()
    if recorded is not None:
        reason, said = recorded
        ended = record(0, Kind.STATE, {"state": "ended", "exit_code": said, "reason": reason})
        attempt.note(0, attempt.tail(0).feed(ended, 1.0).frames, 1.0)
    attempt.writers[0].status = status
    assert (attempt.end_of(0).ended, attempt.end_of(0).exit_code) == (True, code)
    other = an_attempt()
    restore_progress(other, progress_of(attempt))
    assert other.writers[0].status == status
