"""resume="auto": what a folder remembers of the run its script left behind."""

from __future__ import annotations

import json
import os

import pytest

import respool
from respool.process import Process, this_process
from respool.state_file import Key, StateFile
from respool.wire.attempt import Request
from respool.wire.messages import Attached

KEY = Key("/train.py", "p", "")
GONE = Process("an older boot", 1, 1)
PATH = os.path.join("respool", "respool-resume.json")


@pytest.fixture
def file(tmp_path):
    return StateFile(str(tmp_path / "respool"), KEY)


def claim(file, run_id, entity=None, process=GONE, launch="before"):
    request = Request("p", run_id, run_id, "i", node="node", launch=launch)
    request = request._replace(boot_id=process.boot_id, pid=process.pid, start_time=process.start_time)
    file.claim(Attached("", "p", run_id, entity=entity), request)


def other(file, **changes):
    return StateFile(os.path.dirname(file.path), KEY._replace(**changes))


def test_a_run_whose_process_is_gone_is_found(file):
    claim(file, "r", "e")
    assert file.find("now") == "r"


def test_a_run_whose_process_lives_is_not_taken_but_may_be_joined_by_its_launch(file):
    claim(file, "r", process=this_process())
    assert file.find("now") == ""
    assert file.find("before") == "r"
    claim(file, "s")
    with open(file.path) as text:
        assert json.load(text)["run_id"] == "r"


@pytest.mark.parametrize("changes", [{"program": "/eval.py"}, {"project": "q"}, {"array_index": "3"}])
def test_another_program_project_or_array_task_finds_nothing_and_takes_nothing_away(file, changes):
    claim(file, "r")
    side = other(file, **changes)
    assert side.find("now") == ""
    claim(side, "s")
    side.release("s")
    assert file.find("now") == "r"


def test_only_the_run_it_names_removes_it(file):
    claim(file, "r")
    file.release("another")
    assert file.find("now") == "r"
    file.release("r")
    assert not os.path.exists(file.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"run_id": 3}', "\0" * 100, '"x"', "[[]]"])
def test_a_damaged_file_is_a_warning_and_a_new_run(file, text, capsys):
    os.makedirs(os.path.dirname(file.path))
    with open(file.path, "w") as out:
        out.write(text)
    assert file.find("now") == ""
    assert capsys.readouterr().err.count("is damaged; a new run begins") == 1
    claim(file, "r")
    assert file.find("now") == "r"


def test_the_file_says_what_it_must(file):
    claim(file, "r", "e")
    with open(file.path) as text:
        found = json.load(text)
    found.pop("others")
    assert found == {
        "run_id": "r", "project": "p", "entity": "e", "program": "/train.py", "array_index": "", "node": "node",
        "launch": "before",
        "process": {"boot_id": "an older boot", "pid": 1, "start_time": 1},
    }  # fmt: skip


def test_a_folder_that_cannot_be_written_is_a_warning(capsys):
    claim(StateFile("/proc/nothing", KEY), "r")
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
