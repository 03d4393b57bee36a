"""The hub against a plain model of one training: a job that is started again on any node, over broken networks.

The model knows what really happened: which life followed which, and which rows each process wrote. The hub hears
of it in pieces, late, twice and in any order; when all has come, its history must be what really happened.
"""

import json
from itertools import count
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from respool.wire.identity import attempt_id_of
from respoold.core import hubapi
from unit.hub.kit import ANNA, rows
from unit.hub.test_joining import register

NODES = ("n1", "n2")
RUNS, PIDS = count(1), count(100)


class Process:
    """One rank of an attempt, with what lies in its node's spool. `rows` are (step, value); `sent` of them arrived."""

    def __init__(self, attempt: "Attempt", rank: int, node: str, step: int) -> None:
        self.attempt, self.rank, self.node, self.pid = attempt, rank, node, next(PIDS)
        self.incarnation = f"boot-{node}:{self.pid}:7:0"
        self.rows: list[tuple[int, int]] = []
        self.step, self.sent, self.dead = step, 0, False

    @property
    def slot(self) -> dict[str, Any]:
        return hubapi.WriterSlot(self.rank, self.incarnation, self.node, self.pid)._asdict()


class Attempt:
    """One attempt as it really was. `parents`: what each node that was alone believed of it."""

    def __init__(self, attempt_id: str, life: int, generation: int) -> None:
        self.id, self.life, self.generation = attempt_id, life, generation
        self.ranks: dict[int, Process] = {}
        self.registered: set[str] = set()
        self.parents: dict[str, str | None] = {}

    @property
    def alive(self) -> bool:
        return any(not process.dead for process in self.ranks.values())

    def primary(self) -> Process | None:
        return min((one for one in self.ranks.values() if one.rows), key=lambda one: one.rank, default=None)


class Training(RuleBasedStateMachine):
    """One job's run. At most one of its lives is there at a time, as every scheduler promises."""

    desk: Any = None

    @initialize(
        ranks=st.integers(1, 2),
        scheduled=st.booleans(),
        steps=st.integers(0, 6),
        known=st.booleans(),
        seed=st.integers(0, 1 << 30),
    )
    def begin(self, ranks: int, scheduled: bool, steps: int, known: bool, seed: int) -> None:
        """Without a scheduler it is a script with an id of its own, on one node."""
        self.chance = Random(seed)
        self.base, self.ranks = f"job-{next(RUNS)}", ranks
        self.identity = f"slurm:{self.base}" if scheduled else ""
        self.attempts: list[Attempt] = []
        self.away: set[str] = set()
        self.life, self.values, self.asked = -1, count(1), []
        self.requeue({}, 0)
        self.log(0, steps)
        if known:
            self.send(self.attempts[0].ranks[0], steps, 0)

    # What happens to the training.

    @precondition(lambda self: not self.attempts or not self.attempts[-1].alive)
    @rule(
        placed=st.fixed_dictionaries({0: st.sampled_from(NODES), 1: st.sampled_from(NODES)}),
        back=st.integers(0, 5),
    )
    def requeue(self, placed: dict[int, str], back: int) -> None:
        """The job is started again, on whichever nodes are free, from a checkpoint `back` steps behind."""
        self.life += 1
        self.generation, self.placed = 0, placed if placed and self.identity else {0: "n1", 1: "n1"}
        self.start = max(0, self.last_step() + 1 - back)
        self.process(0)

    @precondition(lambda self: self.ranks == 1 and not self.attempts[-1].alive)
    @rule(back=st.integers(0, 5))
    def loop(self, back: int) -> None:
        """The script is started again in the same job, on the same node."""
        self.generation = self.attempts[-1].generation + 1
        self.start = max(0, self.last_step() + 1 - back)
        self.process(0)

    @precondition(
        lambda self: self.ranks == 2 and self.attempts[-1].alive and 1 not in self.attempts[-1].ranks
    )
    @rule()
    def second_rank(self) -> None:
        self.process(1)

    def process(self, rank: int) -> None:
        """A process of the present life calls init()."""
        node = self.placed[rank]
        launch = f"slurm:{self.base}:{self.life}"
        known = attempt_id_of("p", self.base, launch, self.generation)
        if not any(one.id == known for one in self.attempts):
            self.attempts.append(Attempt(known, self.life, self.generation))
        attempt = self.attempts[-1]
        process = Process(attempt, rank, node, self.start)
        if node in self.away:
            self.believe(attempt, node)
        else:
            self.ask(attempt, process, launch)
        attempt.ranks[rank] = process

    def believe(self, attempt: Attempt, node: str) -> None:
        here = [one for one in self.attempts if self.wrote(one, node) and one is not attempt]
        attempt.parents.setdefault(node, here[-1].id if here else None)
        attempt.registered.discard(node)

    def ask(self, attempt: Attempt, process: Process, launch: str) -> None:
        here = [one for one in self.attempts if any(p.node == process.node for p in one.ranks.values())]
        for one in here:
            self.tell(one, process.node)
        written = [one.id for one in here if self.wrote(one, process.node)]
        named = f"fresh-{process.pid}" if self.identity else self.base
        how = ("auto", self.base) if self.identity else ("allow", "")
        request = hubapi.AttachRequest(
            "", "p", named, named, how[0], base=how[1], launch=launch, rank=process.rank,
            identity=self.identity, restart_count=self.life, node=process.node, pid=process.pid,
            incarnation=process.incarnation, parent=written[-1] if written else None,
            dead=[one.id for one in here if not one.alive and one is not attempt],
        )  # fmt: skip
        done = self.attach(request)
        assert (done.run.run_id, done.attempt.attempt_id, done.writer) == (
            self.base,
            attempt.id,
            process.rank,
        )
        attempt.registered.add(process.node)

    @staticmethod
    def wrote(attempt: Attempt, node: str) -> bool:
        return any(one.rows for one in attempt.ranks.values() if one.node == node)

    @precondition(lambda self: self.attempts[-1].alive)
    @rule(rank=st.integers(0, 1), steps=st.integers(1, 4))
    def log(self, rank: int, steps: int) -> None:
        process = self.attempts[-1].ranks.get(rank)
        if process is not None:
            for _ in range(steps):
                process.rows.append((process.step, next(self.values)))
                process.step += 1

    @rule()
    def killed(self) -> None:
        for process in self.attempts[-1].ranks.values():
            process.dead = True

    @rule(
        placed=st.fixed_dictionaries({0: st.sampled_from(NODES), 1: st.sampled_from(NODES)}),
        away=st.sampled_from([set(), {"n1"}, {"n2"}, set(NODES)]),
        steps=st.integers(0, 6),
        again=st.booleans(),
        known=st.booleans(),
    )
    def a_whole_life(
        self, placed: dict[int, str], away: set[str], steps: int, again: bool, known: bool
    ) -> None:
        """One more life, or one more start in it, with these nodes cut off, up to its death."""
        self.killed()
        self.away = set(away)
        if again and self.ranks == 1:
            self.loop(steps // 2)
        else:
            self.requeue(placed, steps // 2)
        for rank in range(self.ranks):
            if rank:
                self.process(rank)
            self.log(rank, steps)
        self.killed()
        for process in self.attempts[-1].ranks.values():
            if known and process.node not in away:
                self.send(process, steps, 0)

    # What happens to the network.

    @rule(node=st.sampled_from(NODES))
    def node_is_cut_off_or_back(self, node: str) -> None:
        self.away ^= {node}

    @rule(
        node=st.sampled_from(NODES),
        which=st.integers(0, 9),
        records=st.integers(1, 9),
        again=st.integers(0, 3),
    )
    def upload(self, node: str, which: int, records: int, again: int) -> None:
        """One batch of one process; its first `again` records were sent before."""
        found = [one for one in self.processes() if one.node == node]
        if node not in self.away and found:
            self.send(found[which % len(found)], records, again)

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.desk.clock.advance(seconds)
        for node in set(NODES) - self.away:
            here = [one for one in self.attempts if node in one.registered]
            told = {
                one.id: {"writers": {p.rank: not p.dead for p in one.ranks.values() if p.node == node}}
                for one in here
            }
            self.desk.write(
                lambda tx, node=node, told=told: beat(tx, hubapi.Beat(node, "d", told), self.desk.hub.now())
            )

    @precondition(lambda self: bool(self.asked))
    @rule(which=st.integers(0, 99))
    def asked_again(self, which: int) -> None:
        """An answer was lost on the way: the same request changes nothing."""
        request, answered = self.asked[which % len(self.asked)]
        before = self.state()
        done = self.desk.write(lambda tx: register(tx, ANNA, request, self.desk.hub.now()))
        assert (done.attempt.attempt_id, done.writer) == answered
        assert self.state() == before

    @precondition(lambda self: len(self.attempts) > 4)
    @rule(data=st.data())
    def all_is_well_for_a_while(self, data: st.DataObject) -> None:
        """Every node is back and sends what it has, in any order; then the history is what happened."""
        self.away.clear()
        while left := [one for one in self.processes() if one.sent < len(one.rows) or not self.told(one)]:
            self.send(data.draw(st.sampled_from(left)), data.draw(st.integers(1, 9)), 0)
        self.check_history()

    def teardown(self) -> None:
        if self.desk is not None and hasattr(self, "attempts"):
            self.away.clear()
            left = self.processes()
            self.chance.shuffle(left)
            for process in left:
                self.send(process, 1000, 0)
            self.check_history()

    # What the hub hears.

    def attach(self, request: hubapi.AttachRequest) -> Any:
        done = self.desk.write(lambda tx: register(tx, ANNA, request, self.desk.hub.now()))
        self.asked.append((request, (done.attempt.attempt_id, done.writer)))
        return done

    def tell(self, attempt: Attempt, node: str) -> None:
        """The node registers what it began alone."""
        here = [one for one in attempt.ranks.values() if one.node == node]
        if node in attempt.registered or not here:
            return
        parent = attempt.parents.get(node)
        self.attach(
            hubapi.AttachRequest(
                attempt.id, "p", self.base, self.base, "auto", offline=True, parent=parent,
                parent_known=parent is not None, launch=f"slurm:{self.base}:{attempt.life}",
                identity=self.identity, restart_count=attempt.life, generation=attempt.generation,
                node=node, pid=here[0].pid, writers=[one.slot for one in here],
            )
        )  # fmt: skip
        attempt.registered.add(node)

    def told(self, process: Process) -> bool:
        return process.node in process.attempt.registered

    def send(self, process: Process, records: int, again: int) -> None:
        self.tell(process.attempt, process.node)
        first = max(0, process.sent - again)
        part = process.rows[first : process.sent + records]
        if part:
            body = b"".join(rows(first + index, [step], v=value) for index, (step, value) in enumerate(part))
            done = self.desk.append(process.attempt.id, first, body, writer=process.rank)
            process.sent = max(process.sent, first + len(part))
            assert (done.gap, done.appended.next_seq) == (False, process.sent)
        if process.dead and process.sent == len(process.rows):
            self.desk.report(process.attempt.id, "gone", writer=process.rank)

    # What must hold.

    def processes(self) -> list[Process]:
        return [process for attempt in self.attempts for process in attempt.ranks.values()]

    def last_step(self) -> int:
        return max(self.model(), default=-1)

    def model(self) -> dict[int, int]:
        """Step -> value: each attempt hides the rest from its primary's first row on; the primary speaks last."""
        shown: dict[int, int] = {}
        for attempt in self.attempts:
            primary = attempt.primary()
            if primary is not None:
                shown = {step: value for step, value in shown.items() if step < primary.rows[0][0]}
                for process in sorted(attempt.ranks.values(), key=lambda one: -one.rank):
                    shown.update(process.rows)
        return shown

    def state(self) -> Any:
        shown = self.desk.show(self.base)
        return shown, self.lines(every=True)

    def lines(self, every: bool) -> list[Any]:
        return [json.loads(line) for line in self.desk.lines(self.base, every=every)]

    @invariant()
    def every_row_that_arrived_is_there_once_and_under_its_own_attempt(self) -> None:
        if not any(one.registered for one in self.attempts):
            return
        numbers = {one["number"]: one["attempt_id"] for one in self.desk.show(self.base)["attempts"]}
        found = sorted(
            (numbers[one["_attempt"]], one["_writer"], one["_seq"], one["v"]) for one in self.lines(True)
        )
        sent = (
            (one.attempt.id, one.rank, seq, value)
            for one in self.processes()
            for seq, (_, value) in enumerate(one.rows[: one.sent])
        )
        assert found == sorted(sent)

    @invariant()
    def the_lineage_is_a_chain_without_end_and_the_head_has_rows_if_any_has(self) -> None:
        if not any(one.registered for one in self.attempts):
            return
        shown = self.desk.show(self.base)
        parents = {one["attempt_id"]: one["parent"] for one in shown["attempts"]}
        seen, at = [], shown["head"]
        while at in parents:
            assert at not in seen
            seen.append(at)
            at = parents[at]
        written = {one.attempt.id for one in self.processes() if one.sent}
        assert shown["head"] in (written or parents)

    def check_history(self) -> None:
        if not any(one.registered for one in self.attempts):
            return
        shown = self.desk.show(self.base)
        found = {one["attempt_id"]: {told["writer"] for told in one["writers"]} for one in shown["attempts"]}
        assert found == {one.id: set(one.ranks) for one in self.attempts}
        written = [one.id for one in self.attempts if one.primary()]
        assert {one["_step"]: one["v"] for one in self.lines(False)} == self.model()
        if written:
            assert (shown["head"], shown["diverged"]) == (written[-1], False)
            lineage = {one["attempt_id"] for one in shown["attempts"] if one["on_lineage"]}
            assert set(written) <= lineage


def beat(tx: Any, request: hubapi.Beat, now: Any) -> Any:
    from respool_hub.service.beats import beat as do

    return do(tx, ANNA, request, now)


def test_a_job_s_history_is_what_happened_however_the_hub_hears_of_it(desk):
    class OnDesk(Training):
        pass

    OnDesk.desk = desk
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_machine(
        OnDesk,
        settings=settings(
            max_examples=80,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=slow,
            report_multiple_bugs=False,
        ),
    )
