"""A hub that loses answers after the commit, answers nonsense, hangs or refuses: everything arrives exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.marks import slowly
from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import account
from fakes.proxy import Fault, Plan, Proxy, every, first

MOST_MEMORY = 128 << 20
ROWS = 600


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    """Between the first node's daemon and the hub."""
    with Proxy(site.hub_url) as made:
        site.hub.start()
        site.give_keys(made.url)
        site.node.configure(heartbeat=1.0)
        site.node.daemon.start()
        yield made


def through(site: Site, proxy: Proxy, plan: Plan, faults: int = 1) -> None:
    """A run under this plan, killed after so many rows and accidents: what arrives is what was logged."""
    proxy.plan = plan
    life = site.node.rows(steps=10**9, pace=0.001).reach(ROWS)
    until(lambda: proxy.faults() >= faults, f"{faults} accidents", 60, site.words)
    life.process.kill()
    site.drained(90)
    assert account(site.view, PROJECT, RUN, [life]).kept >= ROWS
    assert site.node.daemon.rss() < MOST_MEMORY


@pytest.mark.parametrize(
    "fault", [Fault.DROP_ANSWER, Fault.GARBAGE, slowly(Fault.HALF_ANSWER), slowly(Fault.NO_HTTP)]
)
def test_an_answer_that_is_lost_after_the_commit_doubles_nothing(
    site: Site, proxy: Proxy, fault: Fault
) -> None:
    through(site, proxy, every(3, fault, "/records/"), faults=3)


@pytest.mark.parametrize(
    "fault", [Fault.REFUSE, Fault.LARGE_413, slowly(Fault.ERROR_500), slowly(Fault.BUSY_429)]
)
def test_a_request_that_is_refused_is_made_again(site: Site, proxy: Proxy, fault: Fault) -> None:
    through(site, proxy, every(3, fault, "/records/"), faults=3)


@pytest.mark.parametrize("fault", [Fault.DROP_ANSWER, slowly(Fault.GARBAGE), slowly(Fault.ERROR_500)])
def test_an_attach_whose_answer_is_lost_makes_one_attempt(site: Site, proxy: Proxy, fault: Fault) -> None:
    through(site, proxy, first(2, fault, "/attach"), faults=1)
    run = site.view.show(PROJECT, RUN)
    assert run is not None
    assert len(run["attempts"]) == 1


def test_a_lost_answer_to_a_state_or_a_heartbeat_changes_nothing(site: Site, proxy: Proxy) -> None:
    plan = first(2, Fault.DROP_ANSWER, "/state")
    beats = first(2, Fault.GARBAGE, "/heartbeat")
    through(site, proxy, lambda *seen: plan(*seen) or beats(*seen), faults=2)
    assert site.view.state(PROJECT, RUN) == "crashed"


def test_a_slow_hub_is_only_slow(site: Site, proxy: Proxy) -> None:
    proxy.seconds = 0.3
    through(site, proxy, every(1, Fault.SLOW), faults=3)


def test_a_hub_that_hangs_keeps_nobody_from_beginning_or_logging(site: Site, proxy: Proxy) -> None:
    proxy.plan = every(1, Fault.HANG)
    life = site.node.rows(steps=ROWS, pace=0.0005)
    facts = life.begun(20)
    assert facts["init_seconds"] < 7.0, "the handshake's bound is 5 s"
    assert life.process.wait(30) == 0
    proxy.plan = every(10**9, Fault.HANG)
    proxy.released.set()
    site.drained(90)
    account(site.view, PROJECT, RUN, [life])


def test_a_hub_behind_lost_answers_that_is_killed_too_has_every_row_once(site: Site, proxy: Proxy) -> None:
    proxy.plan = every(4, Fault.DROP_ANSWER)
    life = site.node.rows(steps=10**6, pace=0.001).reach(300)
    for _ in range(2):
        site.hub.kill()
        site.node.daemon.kill()
        site.node.daemon.start()
        life.reach(life.last_step + 200)
        site.hub.start()
        life.reach(life.last_step + 200)
    life.process.kill()
    site.drained(90)
    account(site.view, PROJECT, RUN, [life])


@pytest.mark.parametrize("fault", [Fault.LARGE_413, slowly(Fault.BAD_400)])
def test_a_refusal_after_the_last_record_is_tried_again(site: Site, proxy: Proxy, fault: Fault) -> None:
    proxy.plan = first(3, fault, "/records/")
    life = site.node.rows(steps=50)
    assert life.process.wait() == 0
    site.drained(60)
    assert account(site.view, PROJECT, RUN, [life]).kept == 50
    assert proxy.faults() == 3


@pytest.mark.slow
def test_a_hub_that_refuses_for_a_short_time_costs_nothing(site: Site, proxy: Proxy) -> None:
    proxy.plan = first(6, Fault.BAD_400, "/records/")
    life = site.node.rows(steps=50)
    assert life.process.wait() == 0
    site.drained(100)
    assert account(site.view, PROJECT, RUN, [life]).kept == 50


@pytest.mark.slow
def test_a_batch_that_the_hub_refuses_for_good_stands_aside_counted_and_blocks_nothing(
    site: Site, proxy: Proxy
) -> None:
    assert site.node.daemon.stop() == 0
    site.node.configure(refusal_patience=0)
    site.node.daemon.start()
    proxy.plan = first(5, Fault.BAD_400, "/records/")
    life = site.node.rows(steps=10**9, pace=0.002)
    until(lambda: (shown(site).get("last_step") or 0) > 100, "rows behind the refused ones", 120, site.words)
    life.process.kill()
    run = site.drained(60)
    rows = site.view.history(PROJECT, RUN)
    assert run["lost"] > 0
    # What stood aside holds records that are no rows too: the snapshot that begins every segment.
    assert 0 <= len(rows) + run["lost"] - len(life.noted) <= 2
    assert [(row["_step"], row["value"]) for row in rows][:50] == [
        (step, value) for step, value in life.noted if step >= rows[0]["_step"]
    ][:50]


def shown(site: Site) -> dict[str, Any]:
    return site.view.find(PROJECT, RUN) or {}
