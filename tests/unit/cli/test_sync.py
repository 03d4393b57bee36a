"""`respool sync` around a drain that does as it is told."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from respoold.app import Outcome
from unit.cli.fake_hub import Answer, FakeHub

Respool = Callable[..., Answer]
DONE = Outcome(records=1240, files=2, left_records=0, left_files=0, lost=0, why=None)


class FakeDrain:
    """Answers `outcome`; `reports` are told on the way; `calls` is what it was asked."""

    def __init__(self) -> None:
        self.outcome = DONE
        self.reports: list[dict[str, Any]] = [
            {"hub_reachable": True, "sent_records": 3, "pending_records": 1}
        ]
        self.calls: list[tuple[list[str], Any]] = []

    def __call__(self, spools: list[str], config: Any, report: Callable[[dict[str, Any]], None]) -> Outcome:
        assert os.listdir(config.spool) == []
        self.calls.append((spools, config))
        for state in self.reports:
            report(state)
        return self.outcome


@pytest.fixture
def drain(monkeypatch: pytest.MonkeyPatch) -> FakeDrain:
    fake = FakeDrain()
    monkeypatch.setattr("respoold.cli.commands.sync.drain", fake)
    return fake


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    made = tmp_path / "respool" / "spool"
    made.mkdir(parents=True)
    return made


def papers(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "attempt.json").write_text("{}")


def test_the_spool_here_and_the_registered_ones_go_to_the_hub_once_each(
    hub: FakeHub, drain: FakeDrain, spool: Path, tmp_path: Path, respool: Respool
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    registry = Path(os.environ["XDG_STATE_HOME"], "respool", "spools")
    registry.mkdir(parents=True)
    (registry / "a").write_text(str(other))
    (registry / "b").write_text(str(spool))
    answer = respool("sync")
    assert (answer.code, answer.out) == (0, "Uploaded 1 240 records and 2 files. Nothing is left.\n")
    (spools, config) = drain.calls[0]
    assert spools == [str(spool), str(other)]
    assert (config.hub, config.api_key) == (hub.url, hub.key)
    assert not os.path.exists(config.spool)


def test_a_spool_named_by_hand_is_the_only_one(
    hub: FakeHub, drain: FakeDrain, spool: Path, tmp_path: Path, respool: Respool
) -> None:
    named = tmp_path / "job" / "respool" / "spool"
    papers(named / "attempt")
    assert respool("sync", "job", "--hub", hub.url).code == 0
    assert respool("sync", "job/respool/spool/attempt", "--hub", hub.url).code == 0
    assert respool("sync", "job/respool/spool", "--hub", hub.url).code == 0
    assert [spools for spools, _ in drain.calls] == [[str(named)], [str(named / "attempt")], [str(named)]]


@pytest.mark.usefixtures("hub", "spool")
@pytest.mark.parametrize(("reachable", "code"), [(True, 1), (False, 3)])
def test_what_is_left_is_told_with_its_reason(
    drain: FakeDrain, respool: Respool, reachable: bool, code: int
) -> None:
    drain.outcome = Outcome(3, 0, 5, 1, 0, "the hub does not answer")
    drain.reports = [{"hub_reachable": reachable}]
    answer = respool("sync")
    assert answer.code == code
    assert "Still here: 5 records and 1 file." in answer.out
    assert "the hub does not answer; nothing is lost" in answer.err


@pytest.mark.usefixtures("hub", "spool")
def test_rows_that_could_not_be_read_are_a_bad_state(drain: FakeDrain, respool: Respool) -> None:
    drain.outcome = DONE._replace(lost=2)
    assert respool("sync").code == 1


@pytest.mark.usefixtures("hub", "spool")
def test_what_can_never_be_sent_is_named_and_a_bad_state(drain: FakeDrain, respool: Respool) -> None:
    drain.outcome = DONE._replace(given_up=("p/r: checkpoint model at step 3: it was not on disk",))
    answer = respool("sync")
    assert answer.code == 1
    assert "p/r: checkpoint model at step 3: it was not on disk." in answer.err


@pytest.mark.usefixtures("hub", "drain", "spool")
def test_sync_json_is_the_outcome(respool: Respool) -> None:
    assert json.loads(respool("sync", "--json").out)["records"] == 1240


@pytest.mark.usefixtures("hub")
def test_no_spool_is_done_and_a_folder_that_is_none_is_a_usage_error(
    drain: FakeDrain, respool: Respool
) -> None:
    assert respool("sync").code == 0
    assert respool("sync", "nowhere").code == 2
    assert drain.calls == []


@pytest.mark.usefixtures("hub")
def test_a_folder_without_attempts_is_an_error_unless_it_is_a_known_spool(
    drain: FakeDrain, tmp_path: Path, respool: Respool
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    answer = respool("sync", "results")
    assert (answer.code, drain.calls) == (2, [])
    assert "There is nothing to upload in 'results'" in answer.err
    registry = Path(os.environ["XDG_STATE_HOME"], "respool", "spools")
    registry.mkdir(parents=True)
    (registry / "a").write_text(str(folder))
    assert respool("sync", "results").code == 0
    (registry / "a").unlink()
    (folder / "v1").mkdir()
    assert respool("sync", "results").code == 0
