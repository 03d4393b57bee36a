"""The reading commands on a folder: no hub, no daemon, nothing touched."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.folders import Folder
from respool.wire.frames import NO_STEP
from unit.cli.fake_hub import Answer, FakeHub
from unit.hub.kit import Desk

Respool = Callable[..., Answer]
FIRST, SECOND = "a" * 32, "b" * 32


@pytest.fixture
def spool(tmp_path: Path) -> str:
    """A job that was killed at step 9 and went on from 5."""
    folder = str(tmp_path / "spool")
    first = Folder(folder, FIRST)
    first.rows(range(10)).file("model.pt", b"old", step=9)
    later = {"started_at": 1.7e9 + 1000}
    second = Folder(folder, SECOND, parent=FIRST, resumed=True, step=10, request=later).rows(range(5, 20))
    second.file("model.pt", b"new", step=19)
    second.end()
    return folder


def lines(answer: Answer) -> list[dict]:
    assert answer.code == 0, answer
    return [json.loads(line) for line in answer.out.splitlines()]


def shot(folder: str) -> Iterator[tuple[str, int, bytes]]:
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                yield path, os.stat(path).st_mtime_ns, file.read()


def test_every_reading_command_works_on_a_folder_and_changes_nothing_in_it(
    spool: str, respool: Respool, tmp_path: Path
) -> None:
    before = list(shot(spool))
    run = lines(respool("runs", "--spool", spool, "--json"))
    assert [(one["run_id"], one["state"], one["last_step"], one["attempts"]) for one in run] == [
        ("mlp-1", "finished", 19, 2)
    ]
    (shown,) = lines(respool("show", "mlp-1", "--spool", spool, "--json"))
    assert [(one["state"], one["cut"], one["hidden"]) for one in shown["attempts"]] == [
        ("superseded", None, 5),
        ("finished", 5, 0),
    ]
    rows = lines(respool("history", "mlp-1", "--spool", spool, "--json"))
    assert [row["_step"] for row in rows] == list(range(20))
    every = lines(respool("history", "mlp-1", "--spool", spool, "--json", "--all"))
    assert [row["_step"] for row in every if row.get("_hidden")] == list(range(5, 10))
    assert len(lines(respool("history", "mlp-1", "--spool", spool, "--json", "--attempt", "1"))) == 10
    (file,) = lines(respool("files", "mlp-1", "--spool", spool, "--json"))
    assert (file["name"], file["size"], file["number"], file["here"]) == ("model.pt", 3, 2, True)
    target = tmp_path / "out.pt"
    assert respool("restore", "mlp-1", "model.pt", "--spool", spool, "-o", str(target)).code == 0
    assert target.read_bytes() == b"new"
    older = ("--attempt", "1", "--force")
    assert respool("restore", "mlp-1", "model.pt", "--spool", spool, "-o", str(target), *older).code == 0
    assert target.read_bytes() == b"old"
    assert respool("lineage", "mlp-1", "--spool", spool).code == 0
    assert list(shot(spool)) == before


def test_a_folder_shows_what_the_hub_shows_of_the_same_records(
    spool: str, respool: Respool, tmp_path: Path
) -> None:
    desk = Desk(tmp_path / "hub")
    for attempt, parent in ((FIRST, None), (SECOND, FIRST)):
        desk.attach(attempt, "mlp-1", project="digits", offline=True, parent=parent, attended=False)
        with open(os.path.join(spool, attempt, "w0-000000.seg"), "rb") as file:
            desk.append(attempt, 0, file.read()[4096:])
    try:
        run = desk.read(lambda r: r.run("anna", "digits", "mlp-1"))
        told = desk.read(lambda r: _told(r, run))
    finally:
        desk.close()
    (shown,) = lines(respool("show", "mlp-1", "--spool", spool, "--json"))
    assert lines(respool("history", "mlp-1", "--spool", spool, "--json")) == told[0]
    assert (shown["config"], shown["summary"], shown["rows"]) == told[1]


def _told(reader, run):
    from respool_hub.service import history, show, story

    tale = story.tell(reader, run.id, run.head)
    rows = [json.loads(line) for line in history.merged(reader, tale, tale.chain, history.Asked())]
    full = show.full(reader, run, lambda _: 0.0, None)
    return rows, (full["config"], full["summary"], full["rows"])


def test_records_that_the_hub_has_taken_are_said_to_be_there(respool: Respool, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "spool"), FIRST).rows(range(10))
    removed = folder.newest
    folder.segment(1)
    folder.rows(range(10, 15))
    os.unlink(removed)
    answer = respool("history", "mlp-1", "--spool", str(tmp_path / "spool"), "--json")
    assert [row["_step"] for row in lines(answer)] == list(range(10, 15))
    assert "11 records of digits/mlp-1 are at the hub and no longer in this folder." in answer.err


def test_a_damaged_record_costs_itself_and_is_counted(respool: Respool, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "spool"), FIRST).rows(range(10))
    with open(folder.newest, "r+b") as file:
        file.seek(-150, os.SEEK_END)
        file.write(b"\xff\xff\xff")
    answer = respool("show", "mlp-1", "--spool", str(tmp_path / "spool"), "--json")
    assert answer.code == 1, "rows are lost: a bad state"
    shown = json.loads(answer.out)
    assert (shown["rows"], shown["lost"], shown["last_step"]) == (9, 1, 9)


def test_a_file_that_was_saved_before_any_row_has_no_step(respool: Respool, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "spool"), FIRST)
    folder.file("model.pt", b"bytes", step=NO_STEP)
    folder.end()
    (file,) = lines(respool("files", "mlp-1", "--spool", "spool", "--json"))
    assert (file["name"], file["step"]) == ("model.pt", None)


def test_a_file_whose_bytes_went_to_the_hub_is_listed_and_refused_with_advice(
    spool: str, respool: Respool
) -> None:
    for blob in os.listdir(os.path.join(spool, SECOND, "blobs")):
        os.unlink(os.path.join(spool, SECOND, "blobs", blob))
    (file,) = lines(respool("files", "mlp-1", "--spool", spool, "--json"))
    assert file["here"] is False
    answer = respool("restore", "mlp-1", "model.pt", "--spool", spool)
    assert answer.code == 2
    assert "no longer in this folder" in answer.err
    assert "leave --spool out" in answer.err


@pytest.mark.parametrize("below", ["", "respool/spool", "v1/u0"])
def test_a_spool_is_found_in_the_shapes_it_has(respool: Respool, tmp_path: Path, below: str) -> None:
    Folder(str(tmp_path / "job" / below), FIRST).rows(range(3)).end()
    assert [one["run_id"] for one in lines(respool("runs", "--spool", "job", "--json"))] == ["mlp-1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runs", "--spool", "nowhere"), "There is no folder 'nowhere'."),
        (("runs", "--spool", "."), "There are no attempts in '.'."),
        (("runs", "--spool", "spool", "--hub", "http://127.0.0.1:1"), "exclude each other"),
        (("show", "mlp-9", "--spool", "spool"), "There is no run 'mlp-9' at"),
        (("history", "mlp-1", "--spool", "spool", "--attempt", "7"), "has no attempt 7 in this folder"),
        (("lineage", "mlp-1", "--spool", "spool", "--undo"), "A folder is only read."),
    ],
)
def test_what_cannot_be_read_is_a_usage_error_that_says_why(
    spool: str, respool: Respool, words: tuple[str, ...], said: str
) -> None:
    answer = respool(*words)
    assert answer.code == 2, answer
    assert said in answer.err


def test_a_folder_with_a_broken_paper_shows_the_others(spool: str, respool: Respool) -> None:
    with open(os.path.join(spool, FIRST, "attempt.json"), "w", encoding="utf-8") as file:
        file.write("{")
    assert len(lines(respool("history", "mlp-1", "--spool", spool, "--json"))) == 15


def test_no_hub_is_asked_for_a_folder(spool: str, respool: Respool, hub: FakeHub) -> None:
    assert respool("runs", "--spool", spool).code == 0
    assert hub.asked == []
