"""Mending lineages by hand, lives of one job that came in any order, and what lies on which node."""

import itertools
import json

import pytest

from respoold.core import hubapi
from unit.hub.kit import name, row, rows, served
from unit.hub.test_http import RUN, Web

A, B, C = name(1), name(2), name(3)


@pytest.fixture
def web(desk, tmp_path):
    with served(desk.hub, tmp_path / "hub.sock") as client:
        root = Web(client, (tmp_path / "data" / "admin-key").read_text().strip())
        anna, bert = (
            Web(client, root.json("POST", "/v1/keys", 201, json={"user": user, "scope": "write"})["key"])
            for user in ("anna", "bert")
        )
        anna.root, anna.bert = root, bert
        yield anna


@pytest.fixture
def branched(web):
    """Attempt 1 up to step 9, attempt 2 started over up to step 4, attempt 3 continues 2 from step 3 on."""
    web.attach(A)
    web.append(A, 0, rows(0, range(10), who=1))
    web.attach(B, resume="none", dead=[A])
    web.append(B, 0, rows(0, range(5), who=2))
    web.attach(C, dead=[B])
    web.append(C, 0, rows(0, range(3, 7), who=3))
    return web


def shown(web):
    """The steps that the history shows, and whose rows they are."""
    answer = web.ask("GET", RUN + "/history").text
    lines = [json.loads(line) for line in answer.splitlines()]
    return [(line["_step"], line["who"]) for line in lines]


def order(web, what, status=200, **more):
    return web.json("POST", RUN + "/lineage", status, json={"order": what, **more})


def test_the_head_may_be_another_attempt_and_undo_gives_it_back(branched):
    before = shown(branched)
    assert before == [(0, 2), (1, 2), (2, 2), (3, 3), (4, 3), (5, 3), (6, 3)]
    tree = order(branched, "head", attempt="1")
    assert shown(branched) == [(step, 1) for step in range(10)]
    assert (tree["head"], tree["last_step"]) == (A, 9)
    order(branched, "undo")
    assert shown(branched) == before
    order(branched, "undo", 404)


def test_an_order_that_a_trainer_has_gone_on_from_is_not_undone_below_it(branched):
    order(branched, "head", attempt="1")
    fourth = name(4)
    branched.attach(fourth, dead=[C])
    branched.append(fourth, 0, rows(0, range(10, 13), who=4))
    history = [*((step, 1) for step in range(10)), *((step, 4) for step in range(10, 13))]
    assert shown(branched) == history
    refused = order(branched, "undo", 409)
    assert "attempt 4 has become it since" in refused["cause"]
    assert shown(branched) == history
    order(branched, "head", attempt="3")
    order(branched, "undo")
    assert shown(branched) == history


def test_undoing_a_cut_brings_no_attempt_back_that_was_superseded_since(web):
    web.attach(A)
    web.append(A, 0, rows(0, range(5), who=1))
    order(web, "cut", attempt="1", step=2)
    web.attach(B, takeover=True)
    web.append(B, 0, rows(0, range(5, 8), who=2))
    assert web.json("GET", RUN + "/lineage")["attempts"][0]["state"] == "superseded"
    tree = order(web, "undo")
    assert (tree["attempts"][0]["state"], tree["attempts"][0]["ordered"]) == ("superseded", None)


def test_a_graft_joins_two_histories_and_a_cut_says_from_where(branched):
    order(branched, "graft", attempt="2", parent=A[:8] + A[8:])
    assert shown(branched)[:4] == [(0, 2), (1, 2), (2, 2), (3, 3)]
    order(branched, "cut", attempt=2, step=8)
    assert [step for step, who in shown(branched) if who == 1] == [5, 6, 7] or shown(branched)
    order(branched, "cut", attempt="3", step=None)
    assert (4, 3) in shown(branched)
    for _ in range(3):
        order(branched, "undo")
    assert shown(branched)[-1] == (6, 3)


def test_a_branch_that_the_head_is_grafted_on_diverges_no_more_until_that_is_undone(web):
    web.attach(A, offline=True, parent_known=False)
    web.append(A, 0, rows(0, range(5, 10), who=1))
    web.attach(B, offline=True)
    web.append(B, 0, rows(0, range(7), who=2))
    assert web.json("GET", RUN)["diverged"]
    order(web, "graft", attempt="1", parent="2")
    assert shown(web) == [*((step, 2) for step in range(5)), *((step, 1) for step in range(5, 10))]
    assert not web.json("GET", RUN)["diverged"]
    order(web, "undo")
    assert web.json("GET", RUN)["diverged"]


def test_a_cut_by_hand_wins_over_the_derived_one(branched):
    order(branched, "cut", attempt="3", step=1)
    assert shown(branched) == [(0, 2), (3, 3), (4, 3), (5, 3), (6, 3)]
    assert branched.json("GET", RUN + "/lineage")["attempts"][2]["ordered"] == 1
    order(branched, "undo")
    assert shown(branched)[1] == (1, 2)


def test_a_circle_is_refused_and_so_is_what_is_not_there(branched):
    order(branched, "graft", 409, attempt="2", parent="3")
    order(branched, "graft", 409, attempt="2", parent="2")
    order(branched, "head", 404, attempt="9")
    order(branched, "head", 404, attempt="0000")
    order(branched, "cut", 400, attempt="1", step=-5)
    for bad in (
        {"order": "x"},
        {"order": "head"},
        {"order": "graft", "attempt": "1"},
        {"order": "cut", "attempt": "1", "step": "x"},
    ):
        branched.json("POST", RUN + "/lineage", 400, json=bad)
    assert branched.json("GET", RUN + "/lineage")["orders"] == []


def test_only_its_owner_may_see_and_mend(branched):
    assert branched.bert.ask("GET", RUN + "/lineage").status_code == 404
    body = {"order": "head", "attempt": "1"}
    assert branched.bert.ask("POST", RUN + "/lineage", json=body).status_code == 404
    assert branched.root.json("POST", RUN + "/lineage", json=body)["head"] == A


@pytest.mark.parametrize("arrival", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("together", [True, False])
def test_lives_of_one_job_are_one_history_whichever_came_first(web, arrival, together):
    """Three lives on three nodes, none of which knew the run; each re-ran two steps of the one before."""
    batches = [rows(0, range(5), who=0), rows(0, range(3, 9), who=1), rows(0, range(7, 12), who=2)]

    def attach(life):
        told = {"identity": "slurm:c:1", "restart_count": life, "launch": f"l{life}", "node": f"n{life}"}
        web.attach(name(life + 1), offline=True, parent_known=life == 0, **told)

    for life in arrival if together else ():
        attach(life)
    for life in arrival:
        if not together:
            attach(life)
        web.append(name(life + 1), 0, batches[life])
    expected = [(s, 0) for s in range(3)] + [(s, 1) for s in range(3, 7)] + [(s, 2) for s in range(7, 12)]
    assert shown(web) == expected
    assert web.json("GET", RUN)["diverged"] is False


def trained(numbers, told=0):
    """The rows of a trainer that never names a step and was told `told`."""
    made = (
        row(at, told + at, **{"trainer/global_step": number, "who": numbers[0]})
        for at, number in enumerate(numbers)
    )
    return b"".join(made)


def progress(web, asked=""):
    lines = [json.loads(line) for line in web.ask("GET", f"{RUN}/history{asked}").text.splitlines()]
    assert [line["_step"] for line in lines] == sorted({line["_step"] for line in lines})
    return [line["trainer/global_step"] for line in lines]


def life(web, number, **more):
    told = {"identity": "slurm:c:1", "restart_count": number, "launch": f"l{number}", "node": f"n{number}"}
    return web.attach(name(number + 1), **(told | more))


@pytest.mark.parametrize("arrival", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("together", [True, False])
def test_lives_that_name_no_step_are_one_history_though_each_counts_from_where_its_node_knew(
    web, arrival, together
):
    """As above, and the last life's node knew of the first one alone."""
    batches = [trained(range(5)), trained(range(3, 9)), trained(range(7, 12), told=5)]

    def attach(number):
        parent = {2: {"parent": name(1)}}.get(number, {"parent_known": number == 0})
        life(web, number, offline=True, **parent)

    for number in arrival if together else ():
        attach(number)
    for number in arrival:
        if not together:
            attach(number)
        web.append(name(number + 1), 0, batches[number])
    assert progress(web) == list(range(12))
    tree = web.json("GET", RUN + "/lineage")
    assert tree["last_step"] == 15
    found = {one["attempt_id"]: (one["first_step"], one["last_step"], one["cut"]) for one in tree["attempts"]}
    assert [found[name(number)] for number in (1, 2, 3)] == [(0, 4, None), (5, 10, 3), (11, 15, 9)]
    run = web.json("GET", RUN)
    assert [one["last_step"] for one in sorted(run["attempts"], key=lambda one: one["attempt_id"])] == [
        4,
        10,
        15,
    ]
    assert progress(web, "?min_step=8&max_step=12") == [6, 7, 8]


def test_who_was_told_online_where_a_life_ends_is_shifted_with_it_when_an_earlier_one_comes(web):
    life(web, 1, offline=True, parent_known=False)
    web.append(B, 0, trained(range(3, 9)))
    told = life(web, 2, dead=[B])
    assert (told["step"], told["resumed"]) == (6, True)
    web.append(C, 0, trained(range(8, 11), told=6))
    assert progress(web) == [3, 4, 5, 6, 7, 8, 9, 10]
    life(web, 0, offline=True)
    web.append(A, 0, trained(range(5)))
    assert progress(web) == list(range(11))
    told = life(web, 3, dead=[C])
    assert told["step"] == 14
    web.append(name(4), 0, trained(range(10, 13), told=14))
    assert progress(web) == list(range(13))


def test_two_lives_at_once_of_no_one_job_are_a_branch_that_is_flagged(web):
    web.attach(A, offline=True)
    web.append(A, 0, rows(0, range(5), who=1))
    web.attach(B, offline=True)
    web.append(B, 0, rows(0, range(5), who=2))
    assert web.json("GET", RUN)["diverged"] is True
    order(web, "graft", attempt="2", parent="1")
    assert web.json("GET", RUN)["diverged"] is False


def test_nodes_say_what_they_hold_and_for_whom(web):
    web.attach(A)
    told = {
        "alive": True,
        "pending_records": 5,
        "pending_bytes": 50,
        "oldest": 12.5,
        "why": "the link is slow",
    }
    web.pack("/v1/heartbeat", hubapi.Beat("n1", "0.1.0", {A: told}))
    web.pack("/v1/heartbeat", hubapi.Beat("n2", "0.1.0", {}))
    found = web.json("GET", "/v1/nodes")["nodes"]
    assert [(one["node"], one["pending_records"], one["oldest_pending_seconds"]) for one in found] == [
        ("n1", 5, 12.5),
        ("n2", 0, None),
    ]
    (run,) = found[0]["runs"]
    assert (run["run_id"], run["state"], run["why"]) == ("run", "running", "the link is slow")


@pytest.mark.parametrize(("whole", "left"), [([0], 0), ([0, 1], 0), ([1], 5), ([], 5), (None, 5), ("01", 5)])
def test_who_has_read_every_writer_to_its_end_knows_that_no_other_node_holds_more(web, whole, left):
    web.attach(A)
    web.pack(
        "/v1/heartbeat", hubapi.Beat("n1", "d", {A: {"alive": True, "pending_records": 5, "oldest": 3.0}})
    )
    web.pack(f"/v1/attempts/{A}/state", hubapi.StateReport("ended", exit_code=0))
    told = {"alive": False, "pending_records": 0, **({} if whole is None else {"whole": whole})}
    web.pack("/v1/heartbeat", hubapi.Beat("n2", "d", {A: told}))
    found = web.json("GET", "/v1/nodes")["nodes"]
    assert (sum(one["pending_records"] for one in found), web.json("GET", RUN)["pending_records"]) == (
        left,
        left,
    )
    assert web.bert.json("GET", "/v1/nodes") == {"nodes": []}
    assert len(web.root.json("GET", "/v1/nodes")["nodes"]) == 2
