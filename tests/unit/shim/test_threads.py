"""Threads that all use one run: none of them is raised into, and nothing that any of them kept is lost."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import respool
from respool.later_versions import LaterVersions
from respool.wire.frames import Kind
from respool.wire.settling import Stamp
from unit.shim.saves import content, records

NAMES = "abcd"
THREADS, TURNS = len(NAMES), 60


@pytest.fixture(autouse=True)
def often():
    """Threads are switched as often as the interpreter can: what may go wrong in between does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def run():
    return respool.init(project="p", id="r", mode="spool")


def together(act):
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: [act(name, turn) for turn in range(TURNS)], NAMES))


def test_checkpoints_of_one_name_leave_the_last_ones_only(run):
    def save(name, turn):
        with run.checkpoint(turn * THREADS + NAMES.index(name), staged=turn % 2 == 0) as file:
            file.write(name.encode() * 1000)
        assert file.ok

    run.keep_checkpoints(last=3)
    together(save)
    run.finish()
    found = run.checkpoints()
    assert len(found) == 3
    assert {len(content(one)) for one in found} == {1000}


def test_files_saved_again_and_again_while_others_log(run, tmp_path, monkeypatch):
    monkeypatch.setattr("respool.later_versions.LOOK_SECONDS", 0.0)
    folder = tmp_path / "files"
    folder.mkdir()
    random.seed(1)

    def save(name, turn):
        path = folder / f"{name}{turn}" if turn % 2 else folder / f"{random.randrange(9)}"
        path.write_text(f"{name}{turn}")
        assert run.save(str(path), policy=("live", "live", "end", "now")[turn % 4])
        run.log({name: turn})

    together(save)
    run.finish()
    assert len(records(run, Kind.FILE)) >= THREADS * TURNS  # and what was live or for the end once more
    assert sorted(run.summary[name] for name in NAMES) == [TURNS - 1] * THREADS


def test_later_versions_are_looked_for_while_others_save(tmp_path, monkeypatch):
    monkeypatch.setattr("respool.later_versions.LOOK_SECONDS", 0.0)
    path = tmp_path / "file"
    path.write_text("there")
    later = LaterVersions()

    def save_and_look(name, turn):
        later.saved(str(path), f"{name}{turn % 30}", "live", Stamp(0, turn, 0), token=f"{name}{turn}")
        later.due(float(turn))
        later.watched([f"{other}{turn % 30}" for other in NAMES])
        later.forgotten(turn)
        later.saved(str(path), f"{name}{(turn + 15) % 30}", "now", None)

    together(save_and_look)
    keep, doubtful = later.last(0.0, torn=False)
    assert {one.token for one in keep} == {
        f"{name}{turn}" for name in NAMES for turn in range(TURNS - 15, TURNS)
    }
    assert not doubtful
