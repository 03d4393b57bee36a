"""A sweep's file, and the words of its `command:`, filled in."""

import sys

import pytest

from respool.wire import macros
from respoold.cli import sweep_file
from respoold.cli.errors import CommandError
from respoold.cli.sweep_command import filled

TRIED = {"lr": 0.1, "deep": {"a": [1]}, "amp": True, "slow": False}


def words(*command, program=sys.executable, **environ):
    return filled(command, program, TRIED, environ, lambda: "p.json")


def test_every_word_of_wandb_means_what_it_does_there():
    assert words("${interpreter}", "${program}") == [sys.executable, sys.executable]
    assert words("${args}") == ["--lr=0.1", '--deep={"a": [1]}', "--amp=True", "--slow=False"]
    assert words("${args_no_hyphens}")[0] == "lr=0.1"
    assert words("${args_no_equals}")[:2] == ["--lr", "0.1"]
    assert words("${args_no_boolean_flags}") == ["--lr=0.1", '--deep={"a": [1]}', "--amp"]
    assert words("${args_append_hydra}")[0] == "+lr=0.1"
    assert words("${args_override_hydra}")[0] == "++lr=0.1"
    assert words("${args_json}") == ['{"lr": 0.1, "deep": {"a": [1]}, "amp": true, "slow": false}']
    assert words("${args_json_file}") == ["p.json"]
    assert words("${envvar:HOME}/x", HOME="/h") == ["/h/x"]
    assert words("--plain") == ["--plain"]
    for word in macros.WORDS:
        assert words(word)


@pytest.mark.parametrize(
    ("command", "program", "said"),
    [
        ("${arg}", "t.py", r"\$\{arg\}, which means nothing"),
        ("${program}", "", "names no program"),
        ("${program}", "missing-script.py", "is not here"),
    ],
)
def test_what_cannot_be_filled_in_is_named(command, program, said):
    with pytest.raises(CommandError, match=said):
        words(command, program=program)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-2E3", -2000.0),
        (".5e1", 5.0),
        ("1.5e-3", 0.0015),
        ("'1e-5'", "1e-5"),
        ("1e5x", "1e5x"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
    ],
)
def test_a_number_with_an_exponent_needs_no_point_and_a_date_is_a_text(tmp_path, text, value):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"min: {text}")
    found = sweep_file.read(str(path))["min"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "is no YAML"), ("1", "holds no map"), (None, "cannot be read")]
)
def test_a_file_that_is_no_sweep_is_named(tmp_path, text, said):
    path = tmp_path / "sweep.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CommandError, match=f"sweep.yaml {said}"):
        sweep_file.read(str(path))
