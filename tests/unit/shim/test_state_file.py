"""resume="auto": what a folder remembers of the run its script left behind."""

from __future__ import annotations

import json
import os

import pytest

import respool
from respool.process import Process, this_process
from respool.state_file import Key, StateFile

KEY = Key("/train.py", "p", "")
GONE = Process("an older boot", 1, 1)
PATH = os.path.join("respool", "respool-resume.json")


@pytest.fixture
def file(tmp_path):
    return StateFile(str(tmp_path / "respool"), KEY)


def other(file, **changes):
    return StateFile(os.path.dirname(file.path), KEY._replace(**changes))


def test_a_run_whose_process_is_gone_is_found(file):
    file.claim("r", "e", GONE, "n")
    assert file.find() == "r"


def test_a_run_whose_process_lives_is_not_taken(file):
    file.claim("r", None, this_process(), "n")
    assert file.find() is None
    file.claim("s", None, GONE, "n")
    with open(file.path) as text:
        assert json.load(text)["run_id"] == "r"


@pytest.mark.parametrize("changes", [{"program": "/eval.py"}, {"project": "q"}, {"array_index": "3"}])
def test_another_program_project_or_array_task_finds_nothing_and_takes_nothing_away(file, changes):
    file.claim("r", None, GONE, "n")
    side = other(file, **changes)
    assert side.find() is None
    side.claim("s", None, GONE, "n")
    side.release("s")
    assert file.find() == "r"


def test_only_the_run_it_names_removes_it(file):
    file.claim("r", None, GONE, "n")
    file.release("another")
    assert file.find() == "r"
    file.release("r")
    assert not os.path.exists(file.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"run_id": 3}', "\0" * 100, '"x"', "[[]]"])
def test_a_damaged_file_is_a_warning_and_a_new_run(file, text, capsys):
    os.makedirs(os.path.dirname(file.path))
    with open(file.path, "w") as out:
        out.write(text)
    assert file.find() is None
    assert capsys.readouterr().err.count("is damaged; a new run begins") == 1
    file.claim("r", None, GONE, "n")
    assert file.find() == "r"


def test_the_file_says_what_it_must(file):
    file.claim("r", "e", GONE, "node")
    with open(file.path) as text:
        found = json.load(text)
    found.pop("others")
    assert found == {
        "run_id": "r", "project": "p", "entity": "e", "program": "/train.py", "array_index": "", "node": "node",
        "process": {"boot_id": "an older boot", "pid": 1, "start_time": 1},
    }  # fmt: skip


def test_a_folder_that_cannot_be_written_is_a_warning(capsys):
    StateFile("/proc/nothing", KEY).claim("r", None, GONE, "n")
    assert "resume='auto' will not find this run" in capsys.readouterr().err


def auto():
    return respool.init(project="p", mode="spool", resume=True)


def test_a_crashed_run_is_continued_and_a_finished_one_is_not():
    first = auto()
    first.log({"a": 1}, step=4)
    name = first.id
    first.finish(1)
    with open(PATH) as file:
        text = file.read()
    with open(PATH, "w") as file:
        file.write(text.replace('"boot_id": "', '"boot_id": "old-'))
    second = auto()
    assert (second.id, second.resumed, second.step) == (name, True, 5)
    second.finish()
    assert not os.path.exists(PATH)
    third = auto()
    assert third.id != name
    assert not third.resumed


def test_a_run_that_did_not_ask_for_auto_leaves_the_file_alone():
    first = auto()
    first.finish(1)
    respool.init(project="p", mode="spool", id="side").finish()
    assert os.path.exists(PATH)


def test_auto_with_an_id_is_allow_and_writes_no_file():
    respool.init(project="p", mode="spool", resume="auto", id="r").log({"a": 1})
    respool.finish(1)
    assert respool.init(project="p", mode="spool", resume="auto", id="r").resumed
    assert not os.path.exists(PATH)
