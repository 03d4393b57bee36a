"""Misuse: one line and training goes on, or a UsageError where the run was begun with strict=True."""

from __future__ import annotations

import collections

import pytest

import respool
from respool import row_codec
from respool.alerts import level_of
from respool.media import Histogram, Image, Table

STRICT = {"strict": True}


def begin(**options):
    return respool.init(project="p", mode="spool", **{"id": "r", **options})


class Unreadable:
    def keys(self):
        raise RuntimeError("no keys")


class Unprintable:
    __slots__ = ()

    def __repr__(self):
        raise RuntimeError("no repr")


def change(run, value):
    run.config.update({"k": 1}, allow_val_change=True)
    run.config["k"] = value


MISUSES = {
    "log(step='x') is no integer": lambda run: run.log({"a": 1}, step="x"),
    "log(step=9223372036854775808) does not fit into 64 bits": lambda run: run.log({"a": 1}, step=1 << 63),
    "log() takes a dict of values, not int": lambda run: run.log(3),
    "log() could not read its argument": lambda run: run.log(Unreadable()),
    "log() was given _step, which respool itself sets": lambda run: run.log({"_step": 3}),
    "a value of type object cannot be kept": lambda run: run.log({"a": object()}),
    "has 2000 characters, more than 1024": lambda run: run.log({"k" * 2000: 1}),
    "rewind(-1) names no step": lambda run: run.rewind(-1),
    "known are last, min, max": lambda run: run.define_metric("a", summary="median"),
    "define_metric() cannot use": lambda run: run.define_metric(["a"]),
    "save(policy='soon')": lambda run: run.save("train.py", policy="soon"),
    "save('nothing*') matches no file": lambda run: run.save("nothing*"),
    "save() cannot use what it was given": lambda run: run.save(5),
    "watch(log='all of it')": lambda run: run.watch(None, log="all of it"),
    "watch(log_graph=True)": lambda run: run.watch([], log_graph=True),
    "watch() takes torch modules, not int": lambda run: run.watch(3),
    "alert(level='LOUD')": lambda run: run.alert("t", "x", level="LOUD"),
    "config is [1, 2]": lambda run: run.config.update([1, 2]),
    "summary.update() was given 5": lambda run: run.summary.update(5),
    "name is 5, of type int": lambda run: setattr(run, "name", 5),
    "checkpoint(step='x') is no step": lambda run: run.checkpoint("x"),
    "keep_checkpoints(last=0": lambda run: run.keep_checkpoints(last=0),
    "Image() cannot be kept": lambda _: Image(object()),
    "Table() cannot use": lambda _: Table(["a"], 5),
    "a row of 1 cells does not fit a table of 2 columns": lambda _: Table(["a", "b"], [[1]]),
    "a column of 1 cells does not fit a table of 2 rows": lambda _: Table(["a"], [[1], [2]]).add_column(
        "b", [1]
    ),
    "Table() cannot use what it was given: 'int' object": lambda _: Table(5, []),
    "log(step=<Unprintable>) is no integer": lambda run: run.log({"a": 1}, step=Unprintable()),
    "config 'k' changes from 1 to <Unprintable>": lambda run: change(run, Unprintable()),
    "name is <Unprintable>, of type Unprintable": lambda run: setattr(run, "name", Unprintable()),
    "config is <Unprintable>": lambda run: run.config.update(Unprintable()),
    "config 'a\\x00b' cannot be read: embedded null byte": lambda run: run.config.update("a\0b"),
    "cannot be read: 'utf-8' codec can't encode": lambda run: run.config.update("a\ud800"),
    "Histogram() cannot use": lambda _: Histogram(np_histogram=3),
    "the artifact's name 'a b'": lambda run: run.log_artifact(respool.Artifact("a b", "t")),
}


@pytest.mark.parametrize("cause", MISUSES)
def test_misuse_is_a_line_and_training_goes_on(cause, capsys):
    run = begin()
    for _ in range(2):
        MISUSES[cause](run)
    run.log({"after": 1})
    said = [line for line in capsys.readouterr().err.splitlines() if cause in line]
    assert len(said) == 1
    assert said[0].startswith("respool: warning: ")
    assert said[0].endswith(".")
    assert ".." not in said[0].replace("...", "")


@pytest.mark.parametrize("cause", MISUSES)
def test_misuse_of_a_strict_run_is_a_usage_error_of_cause_and_advice(cause, capsys):
    run = begin(settings=STRICT)
    with pytest.raises(respool.UsageError) as found:
        MISUSES[cause](run)
    assert cause in str(found.value)
    assert ". " in str(found.value)
    assert str(found.value).endswith(".")
    run.log({"after": 1})
    assert "warning" not in capsys.readouterr().err


def test_after_finish_a_strict_run_raises_and_another_says_so(capsys):
    run = begin()
    run.finish()
    for _ in range(2):
        run.log({"a": 1})
        assert run.save("x") is False
        assert run.rewind(3) is False
    assert capsys.readouterr().err.count("run p/r is finished, and log() is dropped; call init() again.") == 1
    run = begin(id="s", settings=STRICT)
    run.finish()
    with pytest.raises(respool.UsageError, match=r"run p/s is finished, and log\(\) is dropped\. Call"):
        run.log({"a": 1})
    with pytest.raises(respool.UsageError, match=r"log\(\) after run p/s was finished"):
        respool.log({"a": 1})


def test_the_modules_functions_say_whether_there_was_a_run(capsys):
    respool.log({"a": 1})
    begin().finish()
    respool.log({"a": 1})
    respool.save("x")
    respool.config.lr = 1
    said = capsys.readouterr().err
    assert "log() before init() is dropped; call respool.init() first." in said
    assert "log() after run p/r was finished is dropped; call respool.init() again." in said
    assert "save() after run p/r was finished" in said
    assert "respool.config after run p/r was finished is not kept;" in said


def test_a_run_that_is_not_strict_beside_a_strict_one_only_warns():
    begin(settings=STRICT)
    second = begin(id="second", reinit="create_new")
    second.log(3)
    second.rewind(-1)
    with pytest.raises(respool.UsageError):
        respool.run.rewind(-1)


def test_a_step_that_is_none_and_one_that_is_too_large_are_two_lines(capsys):
    run = begin()
    for step in ("x", 1 << 63, 1.5, 1e30):
        run.log({"a": 1}, step=step)
    said = capsys.readouterr().err
    assert said.count("is no integer") == 1
    assert said.count("does not fit into 64 bits") == 1
    assert run.step == 4


def test_any_mapping_is_a_row_in_a_strict_run_too():
    run = begin(settings=STRICT)
    run.log(collections.UserDict({"a": 1}))
    assert run.summary["a"] == 1


def test_what_is_wrong_with_a_step():
    assert row_codec.why_no_step(-(1 << 63)) == "does not fit into 64 bits"
    assert row_codec.why_no_step(None) == row_codec.why_no_step(float("inf")) == "is no integer"


def test_a_level_without_a_run_is_info(capsys):
    assert level_of("LOUD") == "INFO"
    assert "INFO it is." in capsys.readouterr().err
