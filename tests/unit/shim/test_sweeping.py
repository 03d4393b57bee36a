"""An agent's side of a sweep: it asks until it is answered, keeps what it holds, and tells a process what to try."""

import json
import os
import signal
import threading

import pytest

import respool
from fakes.daemon import frames_in
from respool import notices, swept
from respool.apis.address import Address
from respool.apis.hub import Hub
from respool.config_map import Config
from respool.errors import AwayError, CommError, UsageError
from respool.sweeping import _call
from respool.sweeping.assignment import read, variables
from respool.sweeping.flapping import IN_A_ROW, Flapping
from respool.sweeping.foreman import Foreman
from respool.sweeping.path import Path, resolve
from respool.sweeping.renewal import RENEWALS, Renewal
from respool.wire import codec
from respool.wire.frames import Kind
from respool.wire.messages import Notice
from unit.shim.waits import until

PATH = Path("ada", "digits", "k3x9p2aq")
WORK = {
    "work": {"run_id": "k3x9p2aq-1", "number": 1, "parameters": {"x": 1}, "lease": "L", "requeues": 2},
    "entity": "ada", "project": "digits", "program": "t.py", "command": ["${program}"], "lease_seconds": 0.06,
}  # fmt: skip


class FakeHub:
    """Answers what it is given, in order; an exception is raised. `asked` is what came in."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def ask(self, method, path, body=None):
        self.asked.append((method, path, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, path, **query):
        return self.ask("GET", path, query)


def foreman(hub, patience=1e9, ends=False):
    return Foreman(hub, PATH, "agent", patience=patience, pause=lambda _: ends)


def test_a_question_that_was_not_answered_is_asked_again_under_the_same_name():
    hub = FakeHub(AwayError("gone"), AwayError("gone"), {"wait": "paused"}, WORK)
    work = foreman(hub).next()
    assert (work.run_id, work.requeues, work.parameters) == ("k3x9p2aq-1", 2, {"x": 1})
    assert len({body["lease"] for _, _, body in hub.asked}) == 1
    assert {path for _, path, _ in hub.asked} == {"/v1/sweeps/ada/digits/k3x9p2aq/work"}


def test_after_its_patience_it_gives_a_missing_hub_up_and_ends_well_where_there_is_nothing_to_do():
    with pytest.raises(AwayError, match="Gave up after 0 s"):
        foreman(FakeHub(AwayError("gone")), patience=0).next()
    assert foreman(FakeHub({"wait": "all handed out"}), patience=0).next() is None
    assert foreman(FakeHub({"over": "it is finished"})).next() is None
    assert foreman(FakeHub({"wait": "paused"}), ends=True).next() is None


def test_what_waiting_does_not_mend_is_raised_at_once():
    hub = FakeHub(CommError("not yours"))
    with pytest.raises(CommError, match="not yours"):
        foreman(hub).next()
    assert len(hub.asked) == 1


@pytest.mark.parametrize(("said", "code"), [(None, 0), (0, 0), (3, 3), ("no data", 1)])
def test_a_function_that_exits_ends_its_run_only(said, code):
    def leave():
        raise SystemExit(said)

    work = read(WORK, PATH.sweep_id)
    assert _call(leave, foreman(FakeHub({"orders": {}})), work) == (code, False)


@pytest.mark.parametrize(
    ("says", "raises", "code", "preempted", "reason"),
    [
        ("", False, 0, True, "agent"),
        ("", True, 1, True, "agent"),
        ("mark_preempting", False, 0, False, "agent"),
        ("mark_preempting", True, 1, True, "agent"),
        ("finish", False, 0, False, "finish"),
    ],
)
def test_a_function_that_ends_under_a_notice_has_finished_only_if_it_says_so(
    daemon, says, raises, code, preempted, reason
):
    def train():
        run = respool.init(project="digits")
        run.log({"a": 1})
        daemon.tell(Notice("preempting", "soon", {"source": "file", "deadline": 0.0}))
        until(lambda: run.preempting)
        if says:
            getattr(run, says)()
        if raises:
            raise ValueError

    work = read(WORK, PATH.sweep_id)
    assert _call(train, foreman(FakeHub({"orders": {}})), work) == (code, preempted)
    assert respool.run is None
    (end,) = (one for one in ends(daemon) if one["state"] == "ended")
    assert (end["exit_code"], end["reason"]) == (code, reason)


def ends(daemon):
    found = [one for attempt in daemon.attempts for one in frames_in(os.path.join(daemon.folder, attempt))]
    return [codec.unpack(one.payload) for one in found if one.kind == Kind.STATE]


@pytest.mark.parametrize("status", [408, 429, 503])
def test_what_a_proxy_says_for_an_absent_hub_is_waited_out(status):
    class Response:
        pass

    response = Response()
    response.status = status
    with pytest.raises(AwayError):
        Hub(Address("http://hub", "key", "here"))._object(response, b"<html>try later</html>")
    response.status = 200
    with pytest.raises(AwayError, match="no respool hub"):
        Hub(Address("http://hub", "key", "here"))._object(response, b"<html>try later</html>")


def test_a_report_is_made_until_it_is_heard():
    hub = FakeHub(AwayError("gone"), {"lease": "L"})
    foreman(hub).report("L", -9)
    assert [body for _, _, body in hub.asked] == [{"lease": "L", "code": -9}] * 2


def test_a_lease_is_renewed_while_its_run_is_at_work_and_a_stop_is_told_once():
    hub = FakeHub(AwayError("gone"), {"orders": {"L": "go"}}, {"orders": {"L": "stop"}})
    told, enough = [], threading.Event()

    def stop():
        told.append(1)
        enough.set()

    assert WORK["lease_seconds"] / RENEWALS < 0.1
    with Renewal(foreman(hub), read(WORK, "k3x9p2aq"), stop) as renewal:
        assert enough.wait(10)
        asked = len(hub.asked)
        while len(hub.asked) < asked + 3:
            threading.Event().wait(0.01)
    assert (told, renewal.stopped) == ([1], True)


def test_an_agent_gives_up_only_when_all_fail_at_once():
    flapping = Flapping()
    for code, seconds in [
        *[(1, 1.0)] * (IN_A_ROW - 1),
        (0, 1.0),
        *[(1, 999.0)] * 9,
        *[(1, 1.0)] * (IN_A_ROW - 1),
    ]:
        flapping.ended(code, seconds)
        assert not flapping.given_up
    flapping.ended(-9, 1.0)
    assert flapping.given_up


def test_a_process_is_told_which_run_it_is_what_to_try_and_whether_it_was_begun_before():
    told = variables(read(WORK, "k3x9p2aq"))
    assert (told["RESPOOL_RUN_ID"], told["RESPOOL_PROJECT"], told["RESPOOL_REQUEUED"]) == (
        "k3x9p2aq-1",
        "digits",
        "1",
    )
    assert json.loads(told["RESPOOL_SWEEP_PARAMETERS"]) == {"x": 1}
    fresh = read({**WORK, "work": {**WORK["work"], "requeues": 0}}, "s")
    assert "RESPOOL_REQUEUED" not in variables(fresh)


def test_in_a_sweep_the_names_of_a_script_yield_and_outside_they_count():
    given = {"id": "mine", "project": "p", "entity": None, "name": "n"}
    assert swept.named(given, {}) is given
    inside = swept.named(given, {"RESPOOL_SWEEP_ID": "s"})
    assert inside == {"id": None, "project": None, "entity": None, "name": "n"}


def test_only_a_name_that_yields_to_another_is_spoken_of(capsys):
    given = {"id": "mine", "project": "p", "entity": None, "name": "n"}
    told = {"RESPOOL_SWEEP_ID": "s", "RESPOOL_RUN_ID": "s-1", "RESPOOL_PROJECT": "p", "RESPOOL_ENTITY": "ada"}
    notices.forget()
    swept.say(given, {})
    swept.say({**given, "id": None}, told)
    assert capsys.readouterr().err == ""
    swept.say(given, told)
    assert "init() does not decide id: the sweep does." in capsys.readouterr().err


def test_parameters_that_no_agent_wrote_are_refused_and_outside_of_a_sweep_there_are_none():
    assert swept.parameters({"RESPOOL_SWEEP_PARAMETERS": "{}"}) == {}
    with pytest.raises(UsageError, match="no JSON object"):
        swept.parameters({"RESPOOL_SWEEP_ID": "s", "RESPOOL_SWEEP_PARAMETERS": "[1]"})


def test_what_a_sweep_tries_stays_whatever_the_script_sets(capsys):
    config = Config({"x": 1, "y": 2}, lambda *_: None)
    config.lock({"x": 1}, "the sweep")
    config.update({"x": 5, "y": 3}, allow_val_change=True)
    config.x = 7
    assert config.as_dict() == {"x": 1, "y": 3}
    assert "config 'x' belongs to the sweep; 5 is ignored." in capsys.readouterr().err


def test_a_sweep_is_found_by_as_much_of_its_path_as_it_takes():
    def listed(*paths):
        keys = ("entity", "project", "sweep_id")
        return FakeHub({"sweeps": [dict(zip(keys, path, strict=True)) for path in paths]})

    hub = listed(PATH)
    hub.address = type("Address", (), {"url": "http://hub"})
    assert resolve(hub, "k3x9p2aq") == PATH
    assert hub.asked[-1][2] == {"project": None, "sweep_id": "k3x9p2aq"}
    with pytest.raises(UsageError, match="ada/digits/k3x9p2aq or bob/digits/k3x9p2aq"):
        resolve(listed(PATH, PATH._replace(entity="bob")), "k3x9p2aq")
    with pytest.raises(FileNotFoundError, match="no sweep"):
        resolve(hub, "eve/digits/k3x9p2aq")
    with pytest.raises(UsageError, match="names no sweep"):
        resolve(hub, "a/b/c/d")


@pytest.mark.parametrize("foreign", [{}, {"error": "bad gateway"}])
def test_what_a_proxy_answers_in_the_hubs_place_is_no_answer(foreign):
    hub = FakeHub(foreign, WORK)
    assert foreman(hub).next().run_id == "k3x9p2aq-1"
    hub = FakeHub(foreign, foreign, {"lease": "L"})
    foreman(hub).report("L", 0)
    assert len(hub.asked) == 3
    with pytest.raises(AwayError, match="no respool hub"):
        foreman(FakeHub(foreign), patience=0).report("L", 0)


def test_a_stop_that_is_under_way_arrives_before_its_run_is_over():
    begun, goes_on = threading.Event(), threading.Event()

    def stop():
        begun.set()
        goes_on.wait(60)

    renewal = Renewal(foreman(FakeHub({"orders": {"L": "stop"}})), read(WORK, "k3x9p2aq"), stop)
    renewal.__enter__()
    assert begun.wait(60)
    over = threading.Thread(target=renewal.__exit__, args=(None, None, None))
    over.start()
    over.join(0.1)
    assert over.is_alive()
    goes_on.set()
    over.join(60)
    assert not over.is_alive()


def test_a_stop_ends_the_function_in_its_own_thread_and_where_sigint_is_ignored(capsys):
    ended, over = [], threading.Event()

    def train():
        while not over.wait(0.01):
            pass

    def work():
        ended.append(_call(train, foreman(FakeHub({"orders": {"L": "stop"}})), read(WORK, "k3x9p2aq")))

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        thread.join(20)
    finally:
        over.set()
        signal.signal(signal.SIGINT, before)
    assert ended == [(1, False)]
    assert "was stopped by its sweep" in capsys.readouterr().err


def test_a_lease_is_kept_no_longer_when_a_stop_arrives_in_the_very_end_and_none_is_called_lost_by_then(
    capsys,
):
    renewal = Renewal(foreman(FakeHub({"orders": {"L": "lost"}})), read(WORK, "k3x9p2aq"), list)

    class Interrupted:
        def __enter__(self):
            raise KeyboardInterrupt

        def __exit__(self, *_):
            raise AssertionError

    renewal._ending = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        renewal.__exit__()
    renewal._ending = threading.Lock()
    renewal._done.wait = lambda _: asked.pop()
    asked = [True, False]  # it was renewing when the run ended
    renewal._keep()
    assert renewal._done.is_set()
    assert "another agent" not in capsys.readouterr().err
