"""The house rules that a machine can read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for folder in ("client_shim", "daemon") for path in (ROOT / folder).rglob("*.py"))
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
LOCAL = (f"{ROOT}/", f"{Path.home()}/", "/home/")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 50


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)) or not text.strip()


def test_no_module_is_longer_than_one_can_keep_in_mind() -> None:
    long = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    sizes = {
        f"{name_of(path)}:{one.name}": (one.end_lineno or one.lineno) - one.lineno + 1
        for path in SOURCES
        for one in functions(path)
    }
    assert {name: lines for name, lines in sizes.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def test_nothing_names_a_place_of_the_machine_it_was_written_on() -> None:
    found = {name_of(path): word for path in SOURCES for word in LOCAL if word in path.read_text()}
    assert found == {}
