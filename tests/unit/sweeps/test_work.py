"""Who works on what: every assignment is handed out, comes back on evidence, and is done once."""

import pytest

from respool.wire.frames import Kind
from respool_hub.service.history import merged
from respool_hub.service.refusal import RefusalError
from respool_hub.service.sweeps import making, renewal, work
from respool_hub.service.sweeps.config import sweep_of
from respool_hub.service.sweeps.leases import DEAD_SECONDS, LEASE_SECONDS
from respool_hub.service.sweeps.search import suggest
from unit.hub.kit import ANNA, BERT, ROOT, record, rows

GRID = {"method": "grid", "parameters": {"x": {"values": [1, 2, 3]}}, "metric": {"name": "loss"}}
SILENCE = 301.0


class Agents:
    """Sweeps of one hub, and those who work on them."""

    def __init__(self, desk, config=None, **told):
        self.desk = desk
        told = {"config": config or GRID, **told}
        self.sweep = desk.write(lambda tx: making.make(tx, ANNA, "-", "p", told, desk.hub.now()))
        self.attempts = 0

    def ask(self, lease, agent="agent"):
        def one(tx):
            return work.ask(tx, self.now_of(tx), lease, agent, self.desk.hub.now())

        answer = self.desk.write(one)
        while isinstance(answer, work.Needed):
            number = answer.number
            parsed = sweep_of(self.sweep.config)
            known = self.desk.read(lambda r: work.trials(r, self.sweep))
            found = suggest(parsed, 7, number, known)
            answer = self.desk.write(
                lambda tx, found=found, number=number: work.hand_out(
                    tx, self.now_of(tx), lease, agent, found, number, self.desk.hub.now()
                )
            )
        return answer

    def now_of(self, reader):
        return reader.sweep("anna", "p", self.sweep.sweep_id)

    def begin(self, given, losses=()):
        """The run of what was given: its attempt, with a value of the metric a row."""
        self.attempts += 1
        made = self.desk.attach(
            "", given.row.run_id, incarnation=f"i{self.attempts}", launch=f"l{self.attempts}"
        )
        attempt = made.attempt.attempt_id
        data = b"".join(rows(seq, [seq], loss=float(loss)) for seq, loss in enumerate(losses))
        if data:
            self.desk.append(attempt, 0, data)
        return attempt

    def end(self, attempt, code=0):
        self.desk.report(attempt, "ended", exit_code=code)

    def report(self, lease, code):
        self.desk.write(lambda tx: work.report(tx, self.now_of(tx), lease, code, self.desk.hub.now()))

    def give_back(self, lease):
        self.desk.write(lambda tx: work.give_back(tx, self.now_of(tx), lease))

    def renew(self, *leases):
        def do(tx):
            sweep = self.now_of(tx)
            marks = renewal.marks(tx, sweep, list(leases), self.desk.hub.looks)
            return renewal.renew(tx, sweep, list(leases), marks, self.desk.hub.now())

        return self.desk.write(do)

    def change(self, order):
        self.desk.write(lambda tx: making.change(tx, self.now_of(tx), order))

    def shown(self):
        return self.desk.read(lambda r: making.shown(r, self.now_of(r), self.desk.hub.now()))

    def states(self):
        return [run["state"] for run in self.shown()["runs"]]


@pytest.fixture
def agents(desk):
    return Agents(desk)


def test_each_point_of_a_grid_is_given_out_once_and_then_the_sweep_ends(agents):
    given = [agents.ask(f"lease-{number}") for number in range(3)]
    assert [one.row.parameters for one in given] == [{"x": 1}, {"x": 2}, {"x": 3}]
    assert len({one.row.run_id for one in given}) == 3
    assert isinstance(agents.ask("more"), work.Wait)
    for one in given:
        agents.end(agents.begin(one, [one.row.parameters["x"]]))
    assert agents.ask("more") == work.Over("it is finished: 3 runs")
    shown = agents.shown()
    assert (shown["state"], shown["best"]["value"], shown["best"]["parameters"]) == (
        "finished",
        1.0,
        {"x": 1},
    )


def test_a_question_asked_again_is_answered_again(agents):
    first = agents.ask("lease")
    assert agents.ask("lease") == first
    assert agents.ask("other").row.number == 1


def test_a_preempted_run_comes_back_before_anything_new_with_its_id_and_its_parameters(agents):
    first = agents.ask("a")
    attempt = agents.begin(first, [1.0])
    agents.desk.report(attempt, "preempting")
    assert agents.ask("b").row.number == 1, "it may still end well"
    agents.desk.report(attempt, "gone")
    again = agents.ask("c")
    assert (again.again, again.row.requeues) == (True, 1)
    assert (again.row.run_id, again.row.parameters) == (first.row.run_id, first.row.parameters)
    assert agents.ask("d").row.number == 2


def test_a_run_that_failed_is_done_and_one_that_died_without_a_code_is_tried_again(agents):
    failed, died = agents.ask("a"), agents.ask("b")
    agents.end(agents.begin(failed), 3)
    agents.desk.report(agents.begin(died, [1.0]), "gone")
    assert agents.ask("c").row.number == 2, "its agent will say how it ended"
    agents.report("b", -9)
    again = agents.ask("d")
    assert (again.row.number, again.again) == (1, True)
    assert agents.states()[0] == "failed"


def test_what_an_agent_cannot_begin_counts_as_if_it_had_never_been_given_out(desk):
    agents = Agents(desk, max_requeues=0)
    agents.ask("a")
    for _ in range(2):  # asked again, it is answered again
        agents.give_back("a")
    assert agents.states() == ["queued"]
    assert agents.renew("a") == {"a": "lost"}
    again = agents.ask("b")
    assert (again.row.number, again.row.requeues, again.again) == (0, 0, False)
    agents.give_back("a")
    assert agents.renew("b") == {"b": "go"}


def test_a_requeued_run_that_is_given_back_may_still_die_as_often_as_before(desk):
    agents = Agents(desk, max_requeues=1)
    desk.report(agents.begin(agents.ask("a"), [1.0]), "gone")
    agents.report("a", -9)
    for lease in "bcd":
        given = agents.ask(lease)
        assert (given.row.number, given.row.requeues, given.again) == (0, 1, True)
        agents.give_back(lease)
    assert agents.states() == ["queued"]


def test_a_job_that_always_dies_is_given_up(desk):
    agents = Agents(desk, max_requeues=2)
    for turn in range(3):
        given = agents.ask(f"lease-{turn}")
        assert given.row.requeues == turn
        desk.report(agents.begin(given, [1.0]), "gone")
        agents.report(f"lease-{turn}", -11)
    assert agents.ask("next").row.number == 1
    assert agents.states()[0] == "crashed"


def test_a_job_that_gets_further_in_each_life_is_never_given_up(desk):
    agents = Agents(desk, max_requeues=1)
    for turn in range(5):
        given = agents.ask(f"lease-{turn}")
        assert given.row.requeues == turn
        attempt = agents.begin(given)
        desk.append(attempt, 0, rows(0, [turn], loss=1.0))
        desk.report(attempt, "gone")
        agents.report(f"lease-{turn}", -9)
    for turn in (5, 6):
        given = agents.ask(f"lease-{turn}")
        assert (given.row.number, given.row.requeues) == ((0, 5), (1, 0))[turn - 5]
        desk.report(agents.begin(given), "gone")
        agents.report(f"lease-{turn}", -9)
    assert agents.states()[0] == "crashed", "that one brought nothing"


def test_a_lease_that_nobody_renews_runs_out_unless_the_run_itself_is_heard(agents):
    lost, alive = agents.ask("a"), agents.ask("b")
    attempt = agents.begin(alive, [1.0])
    agents.desk.clock.advance(LEASE_SECONDS + 1)
    agents.desk.beat(attempt)
    again = agents.ask("c")
    assert (again.row.number, again.again) == (lost.row.number, True)
    assert agents.ask("d").row.number == 2
    assert isinstance(agents.ask("e"), work.Wait)


def test_a_run_that_died_with_its_agent_comes_back_sooner(agents, desk):
    lost = agents.ask("a")
    desk.report(agents.begin(lost, [1.0]), "gone")
    desk.clock.advance(DEAD_SECONDS + 1)
    assert agents.ask("b").row.number == lost.row.number


def test_a_restarted_hub_gives_every_agent_its_time_again(agents, desk):
    agents.ask("a")
    desk.clock.advance(DEAD_SECONDS - 1)
    assert agents.renew("a") == {"a": "go"}
    desk.clock.advance(DEAD_SECONDS - 1)
    assert agents.ask("b").row.number == 1


def test_who_comes_back_late_still_counts_while_nobody_else_has_its_run(agents, desk):
    given = agents.ask("a")
    attempt = agents.begin(given, [1.0])
    desk.clock.advance(SILENCE)
    desk.write(lambda tx: work.settle(tx, agents.now_of(tx), desk.hub.now()))
    assert agents.states() == ["queued"]
    desk.beat(attempt)
    assert agents.ask("b").row.number == 1, "its process is back"
    agents.end(attempt)
    assert agents.ask("c").row.number == 2
    assert agents.states()[0] == "finished"


def test_a_script_that_begins_no_run_is_done_by_its_agents_word(agents, desk):
    for lease, code in (("a", 0), ("b", 2), ("c", -9)):
        agents.ask(lease)
        agents.report(lease, code)
    assert agents.ask("d").row.number == 2, "killed before it began: nothing is waited for"
    assert isinstance(agents.ask("e"), work.Wait), "their rows may be on their way"
    assert agents.states() == ["finished", "failed", "leased"]
    assert agents.shown()["counts"] == {"leased": 3, "queued": 0, "done": 0, "ended": 2}
    desk.clock.advance(DEAD_SECONDS + 1)
    assert agents.ask("f").row.number == 2
    assert agents.states()[:2] == ["finished", "failed"]


def test_a_lease_that_went_to_another_is_lost_and_its_report_changes_nothing(agents, desk):
    agents.ask("a")
    desk.clock.advance(LEASE_SECONDS + 1)
    assert agents.ask("b").row.number == 0
    assert agents.renew("a", "b", "c") == {"a": "lost", "b": "go", "c": "lost"}
    agents.report("a", 0)
    assert agents.states() == ["leased"]


def test_paused_stopped_and_cancelled_are_what_they_say(agents):
    agents.ask("a")
    agents.change("pause")
    assert isinstance(agents.ask("b"), work.Wait)
    agents.change("resume")
    assert agents.ask("b").row.number == 1
    agents.change("stop")
    assert agents.ask("c") == work.Over("it is stopped")
    assert agents.renew("a") == {"a": "go"}, "what runs ends by itself"
    agents.change("cancel")
    assert agents.renew("a", "b") == {"a": "stop", "b": "stop"}
    with pytest.raises(RefusalError, match="cancelled"):
        agents.change("resume")


def test_run_cap_ends_a_search_without_end(desk):
    config = {"method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}}, "run_cap": 2}
    agents = Agents(desk, config)
    assert [agents.ask(f"{n}").row.number for n in range(2)] == [0, 1]
    assert isinstance(agents.ask("2"), work.Wait)


def test_a_value_that_comes_after_the_end_is_seen_all_the_same(desk):
    bayes = {"method": "bayes", "parameters": {"x": {"min": 0.0, "max": 1.0}}, "metric": {"name": "loss"}}
    agents = Agents(desk, bayes)
    attempt = agents.begin(agents.ask("a"))
    agents.end(attempt)
    agents.ask("b")
    desk.append(attempt, 0, rows(0, [0], loss=0.5))
    assert [trial.value for trial in desk.read(lambda r: work.trials(r, agents.sweep))] == [0.5, None]


@pytest.mark.parametrize(
    ("how", "goal", "value"),
    [("min,max", "minimize", 1), ("min,max", "maximize", 5), ("mean,first", "minimize", 3)],
)
def test_a_metric_that_is_summed_up_in_several_ways_counts_by_its_goal_or_its_mean(desk, how, goal, value):
    agents = Agents(desk, {**GRID, "metric": {"name": "loss", "goal": goal}})
    attempt = agents.begin(agents.ask("a"))
    defined = record(Kind.META, 0, {"metrics": {"loss": {"summary": how}}})
    desk.append(
        attempt, 0, defined + b"".join(rows(seq, [seq], loss=loss) for seq, loss in [(1, 3), (2, 1), (3, 5)])
    )
    agents.end(attempt)
    agents.ask("b")
    assert agents.shown()["runs"][0]["value"] == value


def test_hyperband_ends_the_worse_ones_and_they_are_done_as_stopped(desk):
    config = {**GRID, "early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2}}
    agents = Agents(desk, config)
    good, bad = agents.ask("a"), agents.ask("b")
    agents.begin(good, [0.2, 0.1])
    worse = agents.begin(bad, [5.0, 4.0])
    assert agents.renew("a") == {"a": "go"}
    assert agents.renew("b") == {"b": "stop"}
    agents.end(worse, 1)
    agents.ask("c")
    assert agents.states()[1] == "stopped"
    assert agents.shown()["runs"][1]["value"] == 4.0


def test_a_sweep_is_its_owners_and_a_stranger_sees_none(agents, desk):
    who = ("anna", "p", agents.sweep.sweep_id)
    with pytest.raises(RefusalError, match="no sweep"):
        desk.read(lambda r: making.find(r, BERT, *who))
    assert desk.read(lambda r: making.own(r, ROOT, *who)) == agents.sweep
    assert desk.read(lambda r: making.listed(r, BERT, None, None)) == []
    assert [one["sweep_id"] for one in desk.read(lambda r: making.listed(r, ANNA, "p", None))] == [who[2]]


def test_an_alert_or_any_other_record_is_no_value(agents, desk):
    attempt = agents.begin(agents.ask("a"))
    desk.append(attempt, 0, record(Kind.SUMMARY, 0, {"set": {"loss": "low"}}))
    agents.end(attempt)
    agents.ask("b")
    assert agents.shown()["runs"][0]["value"] is None


@pytest.mark.parametrize(("code", "outcome"), [(0, "finished"), (3, "failed")])
@pytest.mark.parametrize("stands", ["crashed", "silent"])
def test_how_a_process_ended_by_its_agents_word_counts_where_the_run_has_no_word_of_its_own(
    desk, stands, code, outcome
):
    agents = Agents(desk)
    given = agents.ask("a")
    attempt = agents.begin(given, [1.0])
    if stands == "crashed":
        desk.report(attempt, "gone")
    agents.report("a", code)
    desk.clock.advance(LEASE_SECONDS + 1)
    assert agents.ask("b").row.number == 1
    assert agents.states()[0] == outcome


def test_a_process_that_was_killed_has_no_word_of_its_own_and_its_run_comes_back(desk):
    agents = Agents(desk)
    desk.report(agents.begin(agents.ask("a"), [1.0]), "gone")
    agents.report("a", -9)
    assert agents.ask("b").row.number == 0


def test_who_dies_before_its_run_begins_is_not_waited_for_as_long_as_one_that_may_live(agents):
    first, second = agents.ask("a"), agents.ask("b")
    agents.begin(second, [1.0])
    agents.desk.clock.advance(DEAD_SECONDS - 1)
    assert agents.ask("c").row.number == 2
    agents.desk.clock.advance(2)
    again = agents.ask("d")
    assert (again.row.number, again.again) == (first.row.number, True)


@pytest.mark.parametrize("order", ["stop", "cancel"])
def test_what_a_sweep_that_is_over_will_not_begin_again_is_given_up(agents, order):
    first, second = agents.ask("a"), agents.ask("b")
    agents.desk.report(attempt := agents.begin(first, [1.0]), "preempting")
    agents.desk.report(attempt, "gone")
    agents.desk.clock.advance(DEAD_SECONDS + 1)
    assert agents.states() == ["queued", "queued"]
    agents.ask("c", "agent")
    agents.desk.report(attempt := agents.begin(agents.ask("c"), [1.0]), "preempting")
    agents.desk.report(attempt, "gone")
    assert agents.states() == ["queued", "queued"]
    agents.change(order)
    assert agents.states() == ["preempted", "lost" if order == "cancel" else "given up"]
    assert second.row.number == 1


def test_histories_are_compared_only_when_a_run_may_have_reached_its_next_band(desk, monkeypatch):
    rule = {"type": "hyperband", "min_iter": 3}
    agents = Agents(desk, {**GRID, "early_terminate": rule})
    given = agents.ask("a")
    attempt = agents.begin(given, [3.0, 2.0])
    read = []
    monkeypatch.setattr(renewal, "merged", lambda *told: read.append(1) or merged(*told))
    agents.renew("a")
    assert read == []
    desk.append(attempt, 2, rows(2, [2], loss=1.0))
    agents.renew("a")
    agents.renew("a")
    assert (read, desk.read(lambda r: r.assignment(agents.sweep.id, "a").marks)) == ([1], {"3": 1.0})


def test_a_metric_that_few_rows_hold_is_not_looked_for_in_the_whole_history_at_each_renewal(
    desk, monkeypatch
):
    rule = {"type": "hyperband", "min_iter": 10, "eta": 1000}
    agents = Agents(desk, {**GRID, "early_terminate": rule})
    attempt = agents.begin(agents.ask("a"))
    read = []
    monkeypatch.setattr(renewal, "merged", lambda *told: read.append(1) or merged(*told))
    for seq in range(0, 1050, 5):
        desk.append(attempt, seq, rows(seq, range(seq, seq + 4), other=1.0))
        last = {"other": 1.0} if (seq + 5) % 100 else {"loss": seq + 5.0}
        desk.append(attempt, seq + 4, rows(seq + 4, [seq + 4], **last))
        agents.renew("a")
    assert desk.read(lambda r: r.assignment(agents.sweep.id, "a").marks) == {"10": 100.0}
    assert len(read) < 50


def test_a_life_on_a_branch_is_judged_by_its_agents_word_once_nobody_renews_its_lease(agents, desk):
    run_id = agents.ask("a").row.run_id
    first = agents.begin(agents.ask("a"), [1.0])
    desk.clock.advance(SILENCE)
    assert agents.ask("b").row.run_id == run_id
    desk.beat(first)
    branch = "b" * 32
    desk.attach(branch, run_id, offline=True)
    desk.append(branch, 0, rows(0, [0], loss=9.0))
    assert agents.states() == ["superseded"]
    agents.report("b", 0)
    assert agents.states() == ["superseded"]
    desk.clock.advance(LEASE_SECONDS + 1)
    assert agents.states() == ["finished"]


def test_who_comes_back_after_two_leases_still_counts(agents, desk):
    given = agents.ask("a")
    first = agents.begin(given, [1.0])
    desk.clock.advance(SILENCE)
    assert agents.ask("b").row.run_id == given.row.run_id
    desk.clock.advance(DEAD_SECONDS + 1)  # and that agent died before it began
    desk.beat(first)
    assert agents.ask("c").row.number == 1
    assert agents.states()[0] == "queued"
    agents.end(first)
    assert agents.ask("d").row.number == 2
    assert agents.states()[0] == "finished"


def test_a_sweep_that_is_paused_while_a_point_is_searched_hands_it_out_when_it_goes_on(agents, desk):
    def ask(tx):
        return work.ask(tx, agents.now_of(tx), "a", "agent", desk.hub.now())

    def hand_out(tx):
        return work.hand_out(tx, agents.now_of(tx), "a", "agent", found, 0, desk.hub.now())

    assert desk.write(ask) == work.Needed(0)
    found = suggest(sweep_of(agents.sweep.config), 7, 0, [])
    agents.change("pause")
    assert isinstance(desk.write(hand_out), work.Wait)
    assert agents.states() == []
    agents.change("resume")
    assert agents.ask("a").row.parameters == {"x": 1}


@pytest.mark.parametrize(("goal", "values"), [("minimize", [0.6, 0.5]), ("maximize", [0.4, 0.5])])
def test_once_a_run_has_reached_the_target_nothing_new_is_begun(desk, goal, values):
    metric = {"name": "loss", "goal": goal, "target": 0.5}
    agents = Agents(
        desk, {"method": "random", "metric": metric, "parameters": {"x": {"min": 0.0, "max": 1.0}}}
    )
    for lease, value in zip("ab", values, strict=True):
        attempt = agents.begin(agents.ask(lease), [value])
        if value == 0.5:
            agents.ask("late")
        agents.end(attempt)
    assert agents.ask("c").why == "the target 0.5 is reached; 1 still at work"
    agents.end(agents.begin(agents.ask("late"), [0.7]))
    assert agents.ask("d") == work.Over("it is finished: 3 runs")
