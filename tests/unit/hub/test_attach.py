import pytest

from respool.wire.frames import Kind
from respool.wire.limits import HIDES_NOTHING
from respool_hub.service.access import Caller, Scope
from respool_hub.service.refusal import RefusalError
from unit.hub.kit import ANNA, BERT, ROOT, asked, name, record, row, rows

A, B, C, D = (name(number) for number in (1, 2, 3, 4))


def problem(desk, *args, **more):
    with pytest.raises(RefusalError) as refused:
        desk.attach(*args, **more)
    return refused.value.problem


@pytest.mark.parametrize("resume", ["none", "allow", "never", "auto"])
def test_a_run_that_does_not_exist_is_created(desk, resume):
    done = desk.attach(A, resume=resume)
    assert (done.attempt.number, done.attempt.parent, done.resumed) == (1, None, False)
    assert desk.head() == A


def test_must_on_a_missing_run_names_the_run_the_hub_and_the_way_out(desk):
    said = problem(desk, A, resume="must")
    assert said.code == "missing"
    assert "'run'" in said.cause
    assert "hub" in said.cause
    assert "allow" in said.advice
    assert desk.read(lambda reader: reader.runs(None, None, None, 9)) == []


@pytest.mark.parametrize(
    ("resume", "parent", "resumed", "behind"),
    [("allow", A, True, None), ("must", A, True, None), ("auto", A, True, None), ("none", None, False, A)],
)
def test_a_run_that_exists_is_resumed_or_started_over_as_asked(desk, resume, parent, resumed, behind):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    desk.report(A, "gone")
    done = desk.attach(B, resume=resume)
    assert (done.attempt.parent, done.resumed, done.left_behind) == (parent, resumed, behind)
    assert done.attempt.number == 2


def test_auto_starts_over_when_the_run_finished_cleanly(desk):
    desk.attach(A)
    desk.report(A, "ended", exit_code=0)
    done = desk.attach(B, resume="auto")
    assert (done.resumed, done.left_behind) == (False, A)


def test_never_on_a_run_that_exists_names_its_state(desk):
    desk.attach(A)
    desk.report(A, "ended", exit_code=3)
    said = problem(desk, B, resume="never")
    assert (said.code, said.detail) == ("exists", {"state": "failed"})
    assert "failed" in said.cause


@pytest.mark.parametrize("resume", ["none", "allow", "must", "auto"])
def test_a_live_head_is_in_the_way_of_every_mode(desk, resume):
    desk.attach(A, pid=77, node="n9")
    desk.clock.advance(20)
    said = problem(desk, B, resume=resume)
    assert said.code == "live"
    assert (said.detail["node"], said.detail["pid"], said.detail["last_heartbeat_seconds"]) == (
        "n9",
        77,
        20.0,
    )


def test_a_head_that_is_preempting_still_lives(desk):
    desk.attach(A)
    desk.report(A, "preempting")
    assert problem(desk, B).code == "live"


@pytest.mark.parametrize(
    "how", ["silent", "dead", "ended", "gone", "takeover", "restart", "offline"], ids=lambda how: how
)
def test_a_head_that_is_not_alive_or_is_succeeded_is_no_obstacle(desk, how):
    desk.attach(A, identity="slurm-1", restart_count=0)
    more = {
        "dead": {"dead": [A]},
        "takeover": {"takeover": True},
        "restart": {"identity": "slurm-1", "restart_count": 1},
        "offline": {"offline": True, "parent": A},
    }
    if how == "silent":
        desk.clock.advance(45)
    if how in {"ended", "gone"}:
        desk.report(A, how)
    assert desk.attach(B, **more.get(how, {})).resumed


@pytest.mark.parametrize("more", [{"identity": "other"}, {"identity": "slurm-1"}, {"identity": ""}])
def test_only_a_higher_restart_count_of_the_same_job_is_a_successor(desk, more):
    desk.attach(A, identity="slurm-1", restart_count=1)
    assert problem(desk, B, restart_count=1, **more).code == "live"


def test_the_dead_are_marked_and_keep_the_name_of_their_death(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(3)))
    desk.attach(B, dead=[A, B, "nonsense"])
    desk.append(B, 0, rows(0, [3]))
    states = [attempt["state"] for attempt in desk.show()["attempts"]]
    assert states == ["crashed", "running"]


def test_a_daemon_that_knows_of_rows_under_way_names_the_candidate_that_has_them(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(3)))
    desk.report(A, "gone")
    desk.attach(B)
    assert desk.attach(C, parent=B, dead=[B]).attempt.parent == B
    assert desk.attach(D, parent=name(9)).attempt.parent == A


def test_an_attempt_is_registered_once_however_often_it_asks(desk):
    first = desk.attach(A)
    again = desk.attach(A, resume="never")
    assert again.attempt == first.attempt
    assert len(desk.show()["attempts"]) == 1


def test_an_attempt_id_of_another_run_is_a_conflict(desk):
    desk.attach(A)
    assert problem(desk, A, run_id="other").code == "conflict"


def test_two_spellings_of_one_run_id_are_both_named(desk):
    desk.attach(A, run_id="a-b", original_id="a b")
    said = problem(desk, B, run_id="a-b", original_id="a/b")
    assert said.code == "conflict"
    assert "'a b'" in said.cause
    assert "'a/b'" in said.cause


def test_only_the_owner_and_an_admin_may_attach(desk):
    desk.attach(A)
    assert problem(desk, B, who=BERT, entity="anna").code == "missing"
    assert problem(desk, A, who=BERT).code == "conflict"
    desk.report(A, "gone")
    assert desk.attach(B, who=ROOT, entity="anna").resumed


def test_two_users_may_use_one_run_id(desk):
    desk.attach(A)
    done = desk.attach(B, who=BERT)
    assert (done.run.entity, done.attempt.number) == ("bert", 1)


def test_a_key_for_one_project_stays_in_it(desk):
    bound = Caller("anna", Scope.WRITE, "q", "k")
    assert problem(desk, A, who=bound).code == "forbidden"


def test_what_the_call_passes_replaces_the_meta_and_the_rest_is_kept(desk):
    desk.attach(A, meta={"name": "first", "notes": "mine", "tags": ["a"], "odd": 1})
    desk.report(A, "gone")
    desk.attach(B, meta={"notes": "new", "name": None})
    meta = desk.show()["meta"]
    assert {key: meta[key] for key in ("name", "notes", "tags")} == {
        "name": "first",
        "notes": "new",
        "tags": ["a"],
    }
    assert "odd" not in meta


@pytest.mark.parametrize(
    "bad",
    [
        {"run_id": "a/b"},
        {"run_id": "a b"},
        {"run_id": ""},
        {"run_id": "x" * 65},
        {"project": "../x"},
        {"project": "p/q"},
        {"project": "\udcff"},
        {"entity": "x" * 65},
        {"node": "n" * 2000},
        {"pid": -1},
        {"restart_count": 1 << 70},
        {"parent": A},
    ],
    ids=str,
)
def test_names_and_numbers_that_cannot_be_are_refused_by_value(desk, bad):
    with pytest.raises(RefusalError) as refused:
        desk.attach(A, who=ROOT, **bad)
    assert refused.value.status in {400, 403}
    assert refused.value.problem.advice


def test_an_attempt_id_must_be_one(desk):
    assert problem(desk, "../../etc").code == "bad-request"


def test_a_candidate_changes_nothing_until_its_first_row(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    desk.report(A, "ended", exit_code=1)
    desk.attach(B)
    assert desk.head() == A
    desk.report(B, "gone")
    assert (desk.head(), desk.show()["state"]) == (A, "failed")
    desk.attach(C)
    desk.append(C, 0, row(0, 5))
    assert desk.head() == C


def test_who_ended_well_without_a_row_is_of_the_lineage_and_hides_nothing(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    desk.report(A, "ended", exit_code=1)
    desk.attach(B)
    said = [record(Kind.SUMMARY, 0, {"set": {"acc": 0.9}}), record(Kind.CUT, 1, {"step": HIDES_NOTHING})]
    desk.append(B, 0, b"".join([*said, record(Kind.STATE, 2, {"state": "ended", "exit_code": 0})]))
    shown = desk.show()
    assert (shown["head"], shown["state"], shown["last_step"]) == (B, "finished", 4)
    assert (shown["summary"], len(desk.lines())) == ({"loss": 4.0, "acc": 0.9}, 5)
    assert [one["cut"] for one in shown["attempts"]] == [None, None]
    desk.attach(C)
    desk.append(C, 0, row(0, 3))
    assert (desk.head(), desk.show()["last_step"], len(desk.lines())) == (C, 3, 4)


def test_offline_attempts_in_a_chain_are_linear_however_many(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    for child, parent, first in ((B, A, 5), (C, B, 10), (D, C, 15)):
        desk.attach(child, offline=True, parent=parent)
        desk.append(child, 0, rows(0, range(first, first + 5)))
    shown = desk.show()
    assert (shown["head"], shown["last_step"], shown["diverged"]) == (D, 19, False)
    assert len(desk.lines()) == 20


def test_an_offline_chain_that_arrives_backwards_is_whole_in_the_end(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    desk.attach(C, offline=True, parent=B)
    desk.append(C, 0, rows(0, range(10, 15)))
    assert (desk.head(), desk.show()["diverged"]) == (A, True)
    desk.attach(B, offline=True, parent=A)
    desk.append(B, 0, rows(0, range(5, 10)))
    assert (desk.head(), desk.show()["diverged"]) == (C, False)
    assert len(desk.lines()) == 15


def test_two_offline_children_of_one_parent_diverge_and_both_are_kept(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    desk.attach(B, offline=True, parent=A)
    desk.attach(C, offline=True, parent=A)
    desk.append(B, 0, rows(0, [5, 6]))
    told = desk.append(C, 0, rows(0, [5, 6, 7]))
    shown = desk.show()
    assert (shown["head"], shown["diverged"], told.appended.superseded) == (B, True, True)
    assert [attempt["on_lineage"] for attempt in shown["attempts"]] == [True, True, False]
    assert len(desk.lines(every=True)) == 10


@pytest.mark.parametrize(
    ("ended", "first", "head"),
    [(True, 3, B), (True, 0, A), (False, 3, A)],
    ids=["child", "from-zero", "alive"],
)
def test_an_unknown_parent_is_the_head_if_that_ended_and_the_first_step_is_not_0(desk, ended, first, head):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    if ended:
        desk.report(A, "gone")
    desk.attach(B, offline=True, parent_known=False)
    desk.append(B, 0, row(0, first))
    assert (desk.head(), desk.show()["diverged"]) == (head, head == A)


def test_an_offline_start_over_waits_for_nobody_who_is_left(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    desk.report(A, "gone")
    desk.attach(B, resume="none", offline=True)
    desk.append(B, 0, row(0, 0))
    assert (desk.head(), len(desk.lines())) == (B, 1)


def test_an_offline_never_on_a_run_that_exists_gets_a_run_of_its_own_and_its_children_follow(desk):
    desk.attach(A)
    done = desk.attach(B, resume="never", offline=True)
    assert (done.run.run_id, done.run.alias_of) == ("run-2", "run")
    child = desk.attach(C, resume="allow", offline=True, parent=B)
    assert (child.run.run_id, child.attempt.number) == ("run-2", 2)
    assert desk.attach(B, resume="never", offline=True).attempt == done.attempt


def test_an_offline_conflict_of_spellings_is_kept_apart(desk):
    desk.attach(A, run_id="a-b", original_id="a b")
    assert desk.attach(B, run_id="a-b", original_id="a/b", offline=True).run.run_id == "a-b-2"


def test_offline_must_is_registered_even_when_the_run_is_missing(desk):
    assert desk.attach(A, resume="must", offline=True, parent=B).attempt.parent == B


def test_the_defaults_of_the_request_are_those_of_the_shape():
    assert asked(A).project == "p"
    assert ANNA.admin is False
