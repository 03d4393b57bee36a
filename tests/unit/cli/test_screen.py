import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respoold.cli.screen import Cell, Column, Screen, columns_of, fit, open_screen, pad

COLUMNS = (
    Column("RUN"),
    Column("STATE", shrink=True),
    Column("STEP", right=True),
    Column("NODE", rank=1),
    Column("NAME", shrink=True, rank=2),
)
ROW = (
    "digits/" + "x" * 30,
    "running, 1 240 rows waiting on node7",
    "1 233",
    "node7.cluster.example",
    "n" * 40,
)


def printed(width: int | None, *, colour: bool = False) -> list[str]:
    out = io.StringIO()
    Screen(out, out, width=width, colour=colour).table(COLUMNS, [[Cell(text, "green") for text in ROW]])
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_table_fits_the_screen_and_never_cuts_an_id(width: int) -> None:
    lines = printed(width)
    assert max(map(columns_of, lines)) <= width
    assert ROW[0] in lines[1]


def test_a_table_in_a_pipe_is_whole() -> None:
    assert all(text in printed(None)[1] for text in ROW)


def test_a_wide_screen_shows_what_a_narrow_one_leaves_out() -> None:
    assert "NODE" not in printed(80)[0]
    assert "NODE" in printed(200)[0]


def test_columns_without_room_are_named() -> None:
    out = io.StringIO()
    assert Screen(out, out, width=80, colour=False).table(COLUMNS, [ROW]) == ["NODE", "NAME"]


def test_no_escape_sequence_without_colour_and_balanced_ones_with_it() -> None:
    assert "\x1b" not in "".join(printed(80))
    line = printed(80, colour=True)[1]
    assert line.count("\x1b[32m") == line.count("\x1b[0m") > 0


@given(st.lists(st.integers(1, 60), min_size=5, max_size=5), st.integers(40, 200))
def test_no_column_grows_and_an_id_keeps_its_width(natural: list[int], width: int) -> None:
    found = fit(COLUMNS, natural, width)
    assert all(given <= wanted for given, wanted in zip(found, natural, strict=True))
    assert found[0] == natural[0]


@given(st.text(max_size=30), st.integers(2, 20))
def test_padding_is_exact_for_any_script(text: str, width: int) -> None:
    assert columns_of(pad(text, width)) == width


def test_json_lines_are_strict_and_in_order() -> None:
    out = io.StringIO()
    screen = Screen(out, out, width=80, colour=False)
    screen.emit({"b": "ü", "a": [1, None]})
    assert out.getvalue() == '{"b": "ü", "a": [1, null]}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        screen.emit({"a": float("nan")})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_terminals_whose_owner_wants_it(
    environ: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert open_screen().colour is coloured


def test_a_pipe_has_neither_colour_nor_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    screen = open_screen()
    assert (screen.colour, screen.width) == (False, None)


def test_a_text_longer_than_all_else_is_cut_and_a_name_is_not() -> None:
    out = io.StringIO()
    screen = Screen(out, out, width=None, colour=False)
    screen.table((Column("NAME", middle=True), Column("VALUE")), [("n" * 600, "v" * 5_000_000)])
    line = out.getvalue().splitlines()[1]
    assert line == f"{'n' * 600}  {'v' * 400}… (5 000 000 characters)"
