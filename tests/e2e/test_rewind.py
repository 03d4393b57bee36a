"""Promise P7: re-run steps replace the ones they repeat, any number of times, with and without the hub."""

from __future__ import annotations

import json
from typing import Any

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import Life, account, value_of

KILLED, CHECKPOINT, LAST = 1234, 1000, 1500


def train(site: Site, **options: Any) -> Life:
    """From the checkpoint at 1 000 on; the checkpoint itself is made by the first life."""
    given = {"restart": "checkpoint", "every": CHECKPOINT, "config": 1, "steps": LAST, **options}
    return site.node.rows(**given)


def killed_three_times(site: Site) -> list[Life]:
    lives = []
    for _ in range(3):
        life = train(site, hang_at=KILLED).reach(KILLED)
        life.process.kill()
        lives.append(life)
    last = train(site)
    assert last.process.wait() == 0, last.process.words()
    return [*lives, last]


def check(site: Site, lives: list[Life]) -> None:
    run = site.drained()
    found = account(site.view, PROJECT, RUN, lives)
    assert found.history == LAST
    assert found.noted == KILLED + 1 + 2 * (KILLED - CHECKPOINT + 1) + LAST - CHECKPOINT
    _check_lineage(run, lives)
    _check_values(site, lives)


def _check_lineage(run: dict[str, Any], lives: list[Life]) -> None:
    ids = [life.begun()["attempt_id"] for life in lives]
    assert [one["attempt_id"] for one in run["attempts"]] == ids
    assert [one["parent"] for one in run["attempts"]] == [None, *ids[:-1]]
    assert [one["cut"] for one in run["attempts"]] == [None, CHECKPOINT, CHECKPOINT, CHECKPOINT]
    assert [one["state"] for one in run["attempts"]] == ["crashed", "crashed", "crashed", "finished"]
    assert all(one["on_lineage"] for one in run["attempts"])


def _check_values(site: Site, lives: list[Life]) -> None:
    """Before the checkpoint the first life's values, then the last one's; the others' only with --all."""
    first, last = lives[0].begun()["attempt_id"], lives[-1].begun()["attempt_id"]
    for row in site.view.history(PROJECT, RUN):
        maker = first if row["_step"] < CHECKPOINT else last
        assert row["value"] == value_of(maker, row["_step"])
    records = site.view.history(PROJECT, RUN, every=True)
    hidden = [row for row in records if row.get("_hidden")]
    assert len(hidden) == 3 * (KILLED - CHECKPOINT + 1)
    assert {row["_step"] for row in hidden} == set(range(CHECKPOINT, KILLED + 1))


def test_a_run_killed_three_times_behind_its_checkpoint_has_one_history(site: Site) -> None:
    site.open()
    lives = killed_three_times(site)
    for life in lives[1:]:
        assert (life.begun()["resumed"], life.begun()["step"]) == (True, KILLED + 1)
    check(site, lives)


def test_the_same_with_the_hub_away_during_every_resume(site: Site) -> None:
    site.open()
    first = train(site, hang_at=KILLED).reach(KILLED)
    until(
        lambda: (site.view.find(PROJECT, RUN) or {}).get("last_step") == KILLED,
        "all at the hub",
        why=site.words,
    )
    site.hub.kill()
    first.process.kill()
    rest = [train(site, hang_at=KILLED).reach(KILLED) for _ in range(1)]
    rest[0].process.kill()
    rest.append(train(site, hang_at=KILLED).reach(KILLED))
    rest[1].process.kill()
    rest.append(train(site))
    assert rest[2].process.wait() == 0
    for life in rest:
        _check_offline_answer(life)
    site.hub.start()
    check(site, [first, *rest])


def _check_offline_answer(life: Life) -> None:
    facts = life.begun()
    assert (facts["resumed"], facts["step"]) == (True, KILLED + 1)
    assert facts["config"]["lr"] == 0.1
    assert facts["summary"]["copy"] == KILLED
    assert facts["number"] is None
    assert "the hub is away" in "\n".join(life.process.lines())


def test_a_run_that_the_hub_never_saw_is_resumed_too(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    assert site.hub.stop() == 0
    site.node.daemon.start()
    lives = killed_three_times(site)
    for life in lives[1:]:
        _check_offline_answer(life)
    site.hub.start()
    check(site, lives)


def test_a_resume_after_daemon_and_machine_state_were_lost_asks_the_hub(site: Site) -> None:
    site.open()
    first = train(site, hang_at=KILLED).reach(KILLED)
    first.process.kill()
    site.drained()
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    other.daemon.start()
    second = other.rows(steps=LAST)
    assert second.process.wait() == 0, second.process.words()
    facts = second.begun()
    assert (facts["resumed"], facts["step"], facts["config"]["lr"]) == (True, KILLED + 1, 0.1)
    site.drained()
    assert account(site.view, PROJECT, RUN, [first, second]).history == LAST


def test_the_command_line_shows_attempts_cuts_and_hidden_rows(site: Site) -> None:
    site.open()
    lives = []
    for _ in range(2):
        lives.append(train(site, every=5, hang_at=8).reach(8))
        lives[-1].process.kill()
    lives.append(train(site, steps=12, every=5))
    assert lives[-1].process.wait() == 0
    site.drained()
    shown = site.node.call("show", f"{PROJECT}/{RUN}", "--json")
    assert shown.returncode == 0, shown.stderr
    attempts = json.loads(shown.stdout)["attempts"]
    assert [(one["number"], one["state"], one["cut"]) for one in attempts] == [
        (1, "crashed", None),
        (2, "crashed", 5),
        (3, "finished", 5),
    ]
    everything = site.node.call("history", RUN, "--all", "--json")
    rows = [json.loads(line) for line in everything.stdout.splitlines()]
    assert [row["_step"] for row in rows] == [*range(9), *range(5, 9), *range(5, 12)]
    assert sum(1 for row in rows if row.get("_hidden")) == 8
    text = site.node.call("show", RUN).stdout
    assert "1 from step 5" in text, text
    assert "2 from step 5" in text
    assert f"8 rows that a later attempt logged again; `respool lineage {PROJECT}/{RUN} --cut ATTEMPT" in text
    told = lives[-1].process.words()
    assert f"{PROJECT}/{RUN} continues at step 5: what it had logged there (5 to 8) is hidden" in told
    undo = told[told.index("`respool ") + 9 : told.index("` shows it again")].split()
    assert undo == ["lineage", undo[1], "--cut", "3", "none"]
    assert site.node.call(*undo).returncode == 0
    everything = site.node.call("history", RUN, "--all", "--json")
    again = [json.loads(line) for line in everything.stdout.splitlines()]
    # What the second life had hidden of the first stays so: each attempt speaks for itself.
    assert sum(1 for row in again if row.get("_hidden")) == 4
