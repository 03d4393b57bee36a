"""The closed table of variables, and what a call of init() amounts to."""

from __future__ import annotations

import os

import pytest

import respool
from respool import environment
from respool.environment import read
from respool.plan import plan_of


def test_nothing_set_says_nothing():
    assert read({}) == environment.Environment()
    assert read({"WANDB_MODE": "", "RESPOOL_RUN_ID": "  "}) == environment.Environment()


def test_ours_comes_before_theirs():
    both = {
        "RESPOOL_PROJECT": "ours",
        "WANDB_PROJECT": "theirs",
        "WANDB_RUN_ID": "id",
        "WANDB_TAGS": "a, b,,c",
    }
    found = read(both)
    assert (found.project, found.run_id, found.tags) == ("ours", "id", ["a", "b", "c"])


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("WANDB_MODE", "sometimes", "online, run"),
        ("RESPOOL_MODE", "offline!", "online, run"),
        ("RESPOOL_RESUME", "perhaps", "allow, must"),
        ("WANDB_RESUME", "2", "allow, must"),
        ("RESPOOL_SILENT", "maybe", "1, true"),
        ("RESPOOL_SOCKET", "relative.sock", "an absolute path"),
        ("RESPOOL_FREE_FLOOR", "110%", "a share such as 5% or 0.05"),
    ],
)
def test_a_bad_value_is_an_error_that_names_variable_and_value(monkeypatch, name, value, meant):
    monkeypatch.setenv(name, value)
    with pytest.raises(respool.UsageError, match=f"{name} is '{value}'.*Set it to .*{meant}"):
        respool.init(project="p")
    assert respool.run is None


@pytest.mark.parametrize(("text", "mode"), [("offline", "spool"), ("dryrun", "spool"), ("Online", "online")])
def test_wandbs_modes_are_ours(text, mode):
    assert read({"WANDB_MODE": text}).mode == mode


@pytest.mark.parametrize(
    ("text", "resume"), [("true", "auto"), ("1", "auto"), ("Allow", "allow"), ("false", "none")]
)
def test_resume_modes_of_the_environment(text, resume):
    assert read({"WANDB_RESUME": text}).resume == resume


@pytest.mark.parametrize(
    ("given", "resume"), [(None, "none"), (False, "none"), (True, "auto"), ("must", "must")]
)
def test_resume_modes_of_the_call(given, resume):
    assert plan_of({"resume": given}, {}).resume == resume


def test_a_call_that_says_false_is_not_overruled_by_the_environment():
    assert plan_of({"resume": False}, {"WANDB_RESUME": "allow"}).resume == "none"
    assert plan_of({}, {"WANDB_RESUME": "allow"}).resume == "allow"


def test_arguments_come_before_settings_before_the_environment():
    env = {"WANDB_PROJECT": "env", "WANDB_NAME": "env", "WANDB_NOTES": "env"}
    settings = respool.Settings(project="settings", run_name="settings")
    plan = plan_of({"project": "call", "settings": settings}, env)
    assert (plan.project, plan.meta) == ("call", {"name": "settings", "notes": "env"})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"id": "x" * 65}, "65 characters; use 1 to 64"),
        ({"id": ""}, "0 characters"),
        ({"id": 7}, "id is 7, of type int. Pass a string"),
        ({"project": "a/b"}, "project 'a/b' cannot be used"),
        ({"mode": "quick"}, "mode is 'quick'"),
        ({"resume": "maybe"}, "resume is 'maybe'"),
        ({"on_superseded": "die"}, "on_superseded is 'die'"),
        ({"config": 3}, "config is 3"),
        ({"dir": "a\0b"}, r"dir is 'a\\x00b', which holds a NUL\. Pass a path\."),
        ({"dir": "a\ud800"}, r"dir is 'a\\ud800', of type str, which is no path\. Pass one\."),
        ({"on_superseded": ["stop"]}, r"on_superseded is \['stop'\]\. Pass 'warn' or 'stop'\."),
        ({"resume_from": "x?_step=3"}, "resume_from='x.*' is not supported"),
    ],
)
def test_a_call_that_cannot_be_meant_is_an_error(arguments, text):
    with pytest.raises(respool.UsageError, match=text):
        respool.init(**{"mode": "spool", **arguments})
    assert respool.run is None
    assert not os.path.exists("respool")


def test_no_foreign_secret_is_in_the_table():
    names = {variable.name for variable in environment.TABLE}
    assert not names & {"WANDB_API_KEY", "WANDB_BASE_URL"}
    assert all(variable.doc for variable in environment.TABLE)
    assert {variable.field for variable in environment.TABLE} == set(environment.Environment._fields)


def test_arguments_of_wandb_are_taken_with_one_warning(capsys):
    respool.init(project="p", mode="spool", monitor_gym=True, sync_tensorboard=True, save_code=True)
    text = capsys.readouterr().err
    assert "without effect here: monitor_gym, sync_tensorboard" in text
    assert "save_code" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("entity", ".."),
        ("entity", "a/b"),
        ("entity", 5),
        ("tags", 5),
        ("dir", 5),
        ("settings", 5),
        ("settings", {1: 2}),
    ],
)
def test_an_argument_of_the_wrong_kind_is_an_error_that_names_it(name, value):
    with pytest.raises(respool.UsageError, match=name):
        respool.init(project="p", mode="spool", **{name: value})
    assert respool.run is None


ALL = {"console", "system", "about", "git"}


@pytest.mark.parametrize(
    ("settings", "environ", "off"),
    [
        ({}, {}, set()),
        ({"console": "off"}, {}, {"console"}),
        ({"console": "wrap"}, {"WANDB_CONSOLE": "off"}, set()),
        (
            {"disable_git": True, "x_disable_stats": True, "x_disable_meta": True},
            {},
            {"git", "system", "about"},
        ),
        ({"system": False, "about": False, "git": False, "console": False}, {}, ALL),
        ({}, {"RESPOOL_CONSOLE": "0", "RESPOOL_SYSTEM": "off"}, {"console", "system"}),
        ({}, {"RESPOOL_ABOUT": "no", "RESPOOL_GIT": "false"}, {"about", "git"}),
        ({}, {"WANDB_CONSOLE": "redirect", "WANDB_DISABLE_GIT": "true"}, {"git"}),
        ({"system": True}, {"RESPOOL_SYSTEM": "0"}, set()),
        ({"git": True, "disable_git": True}, {"RESPOOL_GIT": "0"}, set()),
    ],
)
def test_what_is_kept_beside_the_rows_can_be_switched_off(settings, environ, off):
    plan = plan_of({"settings": settings}, environ)
    assert plan.place.watched == ALL - off
