"""`import respool as wandb`: what is there, what only seems to be, what the import costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import types

import pytest

import respool
from fakes.wandb_names import NAMES, SETTINGS
from respool import compat

FORBIDDEN = {
    "dataclasses", "json", "re", "inspect", "logging", "subprocess", "tempfile", "shutil", "pathlib", "hashlib",
}  # fmt: skip


def python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options)


def test_the_import_brings_nothing_slow():
    code = """if True:
        import sys, typing, enum, socket, threading, struct, zlib
        before = set(sys.modules)
        import respool
        print(*sorted(set(sys.modules) - before))
    """
    done = python(code)
    assert not done.stderr
    assert not FORBIDDEN & set(done.stdout.split())
    foreign = {name.partition(".")[0] for name in done.stdout.split()} - {"respool", "msgpack"}
    assert foreign <= set(sys.stdlib_module_names)


def test_the_module_knows_nobody_but_the_standard_library_and_msgpack():
    folder = os.path.dirname(respool.__file__)
    for name in os.listdir(folder):
        if not name.endswith(".py") or name == "command.py":
            continue
        with open(os.path.join(folder, name)) as file:
            tree = ast.parse(file.read())
        assert ast.get_docstring(tree), name
        for node in ast.walk(tree):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module]
            known = {*sys.stdlib_module_names, "respool", "msgpack"}
            # A config that is a YAML file is read where the script's own pyyaml is.
            known |= {"yaml"} if name == "config_file.py" else set()
            assert {module.partition(".")[0] for module in modules} <= known, (name, modules)


def test_run_is_none_before_init_and_what_is_current_after():
    assert respool.run is None
    run = respool.init(project="p", mode="spool")
    assert respool.run is run
    assert respool.config is run.config
    assert respool.summary is run.summary
    respool.finish()
    assert respool.run is None


def test_functions_before_init_are_warnings(capsys):
    respool.log({"a": 1})
    respool.define_metric("a")
    respool.mark_preempting()
    respool.config.lr = 3
    assert respool.save("x") is False
    assert respool.flush() is False
    assert respool.rewind(1) is False
    respool.finish()
    assert capsys.readouterr().err.count("before init()") == 6


@pytest.mark.parametrize("name", sorted(compat.NAMES))
def test_what_wandb_has_is_never_an_attribute_error(name):
    thing = getattr(respool, name)
    assert not thing(1, key=2).anything["x"].more()
    assert list(thing) == []
    with thing:
        pass


def surface():
    """What stands here for each thing of W&B's whose names are listed."""
    from respool.apis.run import Run

    return {
        "wandb": respool,
        "Run": respool.init(project="p", mode="spool"),
        "Artifact": respool.Artifact("a", "b"),
        "Table": respool.Table(),
        "Image": respool.Image(b"\xff\xd8\xff"),
        "plot": respool.plot,
        "errors": respool.errors,
        "apis.public.Run": Run(None, {"run_id": "r", "entity": "e", "project": "p"}),
    }


_DRAFTS = {"aliases", "checkout", "created_at", "digest", "id", "manifest", "size", "version"}
"""What only a logged artifact has, in W&B too: a draft raises ValueError."""

_ASKED = {"config", "json_config", "rawconfig", "summary", "summary_metrics", "group", "job_type", "metadata"}
"""What the hub is asked for."""


@pytest.mark.parametrize("kind", sorted({*NAMES} - {"Api"}))
def test_every_public_name_of_wandb_is_there(kind):
    thing = surface()[kind]
    left_out = {"wandb"} | (_DRAFTS if kind == "Artifact" else _ASKED if "." in kind else set())
    assert [name for name in NAMES[kind] if name not in left_out and not hasattr(thing, name)] == []


def test_the_list_of_wandbs_names_is_that_of_the_installed_one():
    wandb = pytest.importorskip("wandb")
    if wandb.__version__ != "0.31.0":
        pytest.skip(f"the list is of 0.31.0, this is {wandb.__version__}")
    modules = {name for name in dir(wandb) if isinstance(getattr(wandb, name, None), types.ModuleType)}
    public = {name for name in dir(wandb) if not name.startswith("_")} - modules
    assert public <= {*NAMES["wandb"]}
    assert {name for name in dir(wandb.Run) if not name.startswith("_")} == {*NAMES["Run"]}


def test_every_setting_of_wandb_is_taken_and_few_are_worth_a_word(capsys):
    settings = respool.Settings(**dict.fromkeys(SETTINGS, 1))
    assert all(getattr(settings, name) == 1 for name in SETTINGS)
    said = capsys.readouterr().err
    assert said.count("warning") == 1
    assert len(said.split(",")) < 35


@pytest.mark.parametrize("name", ["setup", "ensure_configured", "require", "termsetup"])
def test_what_needs_nothing_here_is_done_without_a_word(name, capsys):
    assert getattr(respool, name)("core") is None
    assert capsys.readouterr().err == ""


def test_teardown_ends_every_run():
    first = respool.init(project="p", mode="spool")
    second = respool.init(project="p", mode="spool", reinit="create_new")
    respool.teardown()
    assert respool.run is None
    assert "finished" in repr(first) + repr(second)


def test_integrations_find_what_they_import():
    from respool.apis.public import Api, Run, Runs
    from respool.data_types import Table
    from respool.errors import AuthenticationError, CommError, UsageError
    from respool.sdk.wandb_run import Run as TheRun
    from respool.sdk.wandb_settings import Settings

    assert all((Api, Run, Runs, Table, CommError, UsageError, Settings))
    assert issubclass(AuthenticationError, CommError)
    assert respool.sdk.wandb_run.Run is TheRun is respool.Run
    assert not respool.sdk.no_such_module.anything()
    assert not respool.util.no_such_function(1)
    assert len(respool.util.generate_id()) == 8


def test_the_environment_helpers_set_project_and_entity(monkeypatch):
    for name in ("RESPOOL_PROJECT", "RESPOOL_ENTITY"):
        monkeypatch.setenv(name, "x")
    respool.env.set_project("mine")
    respool.env.set_entity("me")
    assert (respool.env.get_project(), respool.env.get_entity()) == ("mine", "me")
    assert respool.init(mode="spool").project == "mine"


def test_absent_things_warn_once_each(capsys):
    for _ in range(3):
        respool.sklearn.plot_roc(None)
        respool.patched()
    assert capsys.readouterr().err.count("has no effect in respool") == 2


def test_underscored_and_unknown_names_are_attribute_errors():
    run = respool.init(project="p", mode="spool")
    for thing in (respool, run):
        assert not hasattr(thing, "_nothing")
        assert not hasattr(thing, "__wrapped__")
    with pytest.raises(AttributeError):
        respool.no_such_thing  # noqa: B018


def test_errors_can_be_caught_by_wandbs_names():
    from respool import errors

    assert issubclass(respool.UsageError, ValueError)
    assert issubclass(respool.UsageError, errors.Error)
    assert issubclass(respool.CommError, respool.Error)


def test_ids_are_eight_of_lower_case_and_digits():
    made = {respool.util.generate_id() for _ in range(50)}
    assert len(made) == 50
    assert all(len(one) == 8 and one.isalnum() and one.lower() == one for one in made)


def test_a_run_is_not_pickled():
    import pickle

    run = respool.init(project="p", mode="spool")
    with pytest.raises(respool.UsageError, match="cannot be pickled"):
        pickle.dumps(run)


def test_settings_take_anything_and_say_what_has_no_effect(capsys):
    settings = respool.Settings(strict=True, http_proxy="http://x", start_method="thread", _service_wait=300)
    assert settings.strict
    assert settings.start_method == "thread"
    assert settings.whatever is None
    assert capsys.readouterr().err.endswith("settings without effect here: http_proxy\n")


def test_login_is_explained(capsys):
    assert respool.login(key="x") is True
    assert "respool login" in capsys.readouterr().err


class _Broken:
    def keys(self):
        raise RuntimeError("no keys")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("save", (5,)),
        ("save", ("x", 5)),
        ("save", ("a\0b",)),
        ("define_metric", (["a"],)),
        ("log", (dict,)),
        ("log", (_Broken(),)),
        ("flush", ("x",)),
        ("rewind", (4.5,)),
    ],
)
def test_a_wrong_argument_is_a_warning_and_the_run_goes_on(capsys, name, arguments):
    run = respool.init(project="p", mode="spool")
    assert not getattr(run, name)(*arguments)
    run.log({"x": 1})
    assert "warning" in capsys.readouterr().err
    assert run.last_step == 0


def test_a_text_as_exit_code_is_a_failure():
    run = respool.init(project="p", mode="spool")
    run.finish("x")
    assert respool.run is None


def test_a_wrong_argument_raises_in_strict_mode():
    run = respool.init(project="p", mode="spool", settings={"strict": True})
    with pytest.raises(respool.UsageError, match="save"):
        run.save(5)


def test_a_config_without_keys_is_a_warning_after_init(capsys):
    run = respool.init(project="p", mode="spool", config={"a": 1})
    run.config.update([1, 2])
    assert "config is [1, 2]" in capsys.readouterr().err
    assert run.config.as_dict() == {"a": 1}


def test_a_run_has_no_more_attributes_than_python_keeps_in_its_fast_layout():
    run = respool.init(project="p", mode="spool")
    assert len(vars(run)) <= 30, sorted(vars(run))
