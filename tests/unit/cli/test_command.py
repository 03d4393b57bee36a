"""The command itself: help, versions, unknown words, missing extras."""

import importlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from respoold.cli.main import COMMANDS, module_of
from unit.cli.fake_hub import Answer

Respool = Callable[..., Answer]
NAMES = [name for group in COMMANDS.values() for name in group]

BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
import importlib.util
importlib.util.find_spec = lambda name, package=None: None if name in {blocked!r} else object()
from respool.command import main
sys.exit(main({words!r}))
"""
EXTRAS = [
    "trio",
    "httpx",
    "rich",
    "plotille",
    "blake3",
    "zstandard",
    "starlette",
    "uvicorn",
    "sklearn",
    "watchdog",
]


def without(blocked: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    script = BLOCKED.format(blocked=blocked, words=list(words))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "extra"),
    [(["runs"], "daemon"), (["daemon"], "daemon"), (["hub"], "hub"), (["up"], "all"), (["demo"], "demo")],
)
def test_a_base_install_names_the_exact_line_that_adds_what_is_missing(words: list[str], extra: str) -> None:
    ended = without(EXTRAS, *words)
    assert ended.returncode == 2
    assert f'pip install "respool[{extra}]"' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_without_scikit_learn_names_its_extra() -> None:
    ended = without(["sklearn"], "demo")
    assert ended.returncode == 2
    assert 'pip install "respool[demo]"' in ended.stderr


def test_help_version_and_status_need_no_extra() -> None:
    assert without(EXTRAS, "--help").returncode == 0
    assert without(EXTRAS, "--version").stdout.startswith("respool ")
    assert without(EXTRAS, "status", "--help").returncode == 0


def test_a_bug_is_not_mistaken_for_a_missing_extra() -> None:
    ended = without(["argparse"], "--help")
    assert "Traceback" in ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_examples_that_fits_80_columns(
    respool: Respool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = respool(name, "--help")
    assert answer.code == 0
    assert "examples:\n  respool " in answer.out
    assert "exit codes: 0 done" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_a_module_with_a_docstring(name: str) -> None:
    module = importlib.import_module(module_of(name))
    assert module.__doc__


def test_a_misspelt_command_is_a_usage_error_with_the_right_one(respool: Respool) -> None:
    answer = respool("hisotry", "mlp")
    assert answer.code == 2
    assert "Did you mean history?" in answer.err


@pytest.mark.parametrize("flags", [("--requeue-exit", "0"), ("--grace", "nan"), ("--patience", "-1")])
def test_an_agent_refuses_flags_that_would_hide_a_preemption_or_mean_nothing(
    respool: Respool, flags: tuple[str, str]
) -> None:
    answer = respool("agent", "k3x9p2aq", *flags)
    assert (answer.code, f"argument {flags[0]}" in answer.err) == (2, True), answer.err


def test_nothing_at_all_prints_the_overview_and_is_a_usage_error(respool: Respool) -> None:
    answer = respool()
    assert answer.code == 2
    assert "respool COMMAND" in answer.out


def test_an_abbreviated_flag_is_no_flag(respool: Respool) -> None:
    assert respool("runs", "--js").code == 2


def test_python_m_respool_is_the_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "respool", "--version"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    script = f"{sys.executable} -m respool --help | head -n 1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[-1] == "0"
    assert ended.stderr == ""


def test_an_output_that_is_full_is_told_in_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "respool", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr
