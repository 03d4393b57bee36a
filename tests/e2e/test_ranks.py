"""Several processes of one attempt that end one after the other, each in its own way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site

KILLED: dict[str, Any] = {}
FINISHES: dict[str, Any] = {"end": "finish"}


def exits(code: int) -> dict[str, Any]:
    return {"end": "exit", "code": code}


class Rank:
    """One rank, which logs until `close` gives it the end that it was started for."""

    def __init__(self, site: Site, run_id: str, rank: int, options: dict[str, Any]) -> None:
        environ = {
            "RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "RESPOOL_LAUNCH_ID": run_id,
        }
        self._sign, self._options = site.path(f"{run_id}-{rank}"), options
        given = {"steps": 10**6, "pace": 0.01, "until": self._sign, **options}
        self.life = site.node.rows(id=run_id, environ=environ, **given).reach(10)

    def close(self) -> None:
        if not self._options:
            self.life.process.kill()
            return
        with open(self._sign, "w", encoding="ascii"):
            pass
        code = self._options.get("code", 0)
        assert self.life.process.wait(60) == code, self.life.process.words()


def become(site: Site, run_id: str, state: str) -> dict[str, Any]:
    until(lambda: site.view.state(PROJECT, run_id) == state, f"{run_id} {state}", 20, site.words)
    run = site.view.show(PROJECT, run_id)
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("zero", "one", "state", "code"),
    [
        (KILLED, KILLED, "crashed", None),
        (KILLED, FINISHES, "crashed", None),
        (KILLED, exits(3), "failed", 3),
        (FINISHES, KILLED, "finished", 0),
        (FINISHES, exits(3), "finished", 0),
        (exits(4), FINISHES, "failed", 4),
    ],
)
def test_the_attempt_runs_while_a_rank_does_and_then_ends_as_rank_0_did(
    shared: Site, zero: dict[str, Any], one: dict[str, Any], state: str, code: int | None
) -> None:
    run_id = "-".join([state, *(str(each.get("code", each.get("end", "killed"))) for each in (zero, one))])
    first, last = Rank(shared, run_id, 0, zero), Rank(shared, run_id, 1, one)
    first.close()
    reached = last.life.last_step + 50
    last.life.reach(reached)

    def there() -> bool:
        every = shared.view.history(PROJECT, run_id, every=True)
        return any(row["_writer"] == 1 and row["_step"] >= reached for row in every)

    until(there, "rows of the rank that goes on", 20, shared.words)
    assert shared.view.state(PROJECT, run_id) == "running"
    last.close()
    (attempt,) = become(shared, run_id, state)["attempts"]
    assert attempt["exit_code"] == code


def test_samples_are_of_every_rank_and_go_on_when_rank_0_is_gone(site: Site) -> None:
    site.node.configure(system_period=0.2)
    site.open()
    zero, one = (Rank(site, RUN, rank, KILLED) for rank in (0, 1))

    def samples() -> list[dict[str, Any]]:
        done = site.node.call("system", f"{PROJECT}/{RUN}", "--json", "--all")
        return [json.loads(line) for line in done.stdout.splitlines()]

    until(lambda: any(found["processes"] == 2 for found in samples()), "both sampled", 30, site.words)
    slots = {found["_writer"] for found in samples()}
    zero.close()
    alone = until(
        lambda: [found for found in samples() if found["_writer"] not in slots] or None,
        "samples",
        30,
        site.words,
    )
    assert {found["processes"] for found in alone} == {1}
    assert all(found["rss"] > 1 << 20 for found in alone)
    one.close()
    run = site.drained()
    assert (run["state"], run["lost"]) == ("crashed", 0)
