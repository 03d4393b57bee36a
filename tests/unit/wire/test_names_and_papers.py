"""Names, shapes and an attempt's papers: what strangers may hand in."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire.attempt import FORMAT, AttemptFile, Request, parse_attempt_file, parse_request
from respool.wire.errors import FormatError, UnknownVersionError
from respool.wire.identity import BadNameError, attempt_id_of, project_of, run_id_of, split_run_path
from respool.wire.limits import MAX_RUN_ID
from respool.wire.shapes import build

REQUEST = {"project": "digits", "run_id": "mlp", "original_id": "mlp", "incarnation": "i"}
PAPERS = {"attempt_id": "a", "request": REQUEST, "uid": 1000}


class Sample(NamedTuple):
    count: int
    share: float = 0.0
    name: str | None = None
    on: bool = False
    more: dict[str, Any] = {}
    raw: bytes = b""


@pytest.mark.parametrize(
    ("original", "run_id"),
    [
        ("mlp", "mlp"),
        ("a b/c", "a-b-c"),
        ("läuft", "l-uft"),
        ("../../x", "------x"),
        ("\0", "-"),
        ("_-9", "_-9"),
    ],
)
def test_a_run_id_has_a_dash_for_each_character_that_may_not_be_in_it(original: str, run_id: str) -> None:
    assert run_id_of(original) == run_id


@given(st.text(min_size=1, max_size=MAX_RUN_ID))
def test_a_run_id_is_as_long_as_its_spelling_and_never_changes_again(original: str) -> None:
    run_id = run_id_of(original)
    assert len(run_id) == len(original)
    assert run_id_of(run_id) == run_id
    assert run_id.isascii()


@pytest.mark.parametrize("original", ["", "x" * 65, "x" * 5000])
def test_a_run_id_that_is_empty_or_too_long_is_refused_with_its_length(original: str) -> None:
    with pytest.raises(BadNameError, match=f"has {len(original)} characters; use 1 to 64 of") as error:
        run_id_of(original)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a\nb", "a\0b", "a?b", "a#b", "a%b", "a:b", "x" * 129]
)
def test_a_project_that_would_break_a_path_or_a_url_is_refused(name: str) -> None:
    with pytest.raises(BadNameError, match="cannot be used; take 1 to 128 characters"):
        project_of(name)


@pytest.mark.parametrize("name", ["digits", "my project", "größe", "a.b", "x" * 128])
def test_any_other_project_keeps_its_spelling(name: str) -> None:
    assert project_of(name) == name


def test_an_attempt_id_is_derived_and_never_changes() -> None:
    assert attempt_id_of("p", "r", "launch", 0) == "23a040232b8b55e078e68974d1503f9a"


def test_an_attempt_id_differs_when_any_of_its_parts_does_and_where_they_end() -> None:
    ids = {
        attempt_id_of(*parts)
        for parts in [("p", "r", "l", 0), ("q", "r", "l", 0), ("p", "s", "l", 0), ("p", "r", "m", 0),
                      ("p", "r", "l", 1), ("pr", "", "l", 0), ("p", "rl", "", 0)]
    }  # fmt: skip
    assert len(ids) == 7


def test_an_attempt_id_can_be_had_of_any_text() -> None:
    assert len(attempt_id_of("\ud800", "r", "", 0)) == 32


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("r", (None, None, "r")),
        ("p/r", (None, "p", "r")),
        ("e/p/r", ("e", "p", "r")),
        ("/e/p/r/", ("e", "p", "r")),
    ],
)
def test_a_run_path_may_leave_out_its_first_parts(path: str, parts: tuple[str | None, ...]) -> None:
    assert split_run_path(path) == parts


@pytest.mark.parametrize("path", ["", "/", "a//b", "a/b/c/d"])
def test_a_run_path_of_other_form_is_refused(path: str) -> None:
    with pytest.raises(BadNameError, match="write RUN_ID, PROJECT/RUN_ID or ENTITY/PROJECT/RUN_ID"):
        split_run_path(path)


def test_a_shape_takes_what_fits_and_drops_what_it_does_not_know() -> None:
    assert build(Sample, {"count": 1, "share": 2, "name": None, "new": []}) == Sample(1, 2, None)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (None, "Sample is of type NoneType, not a map"),
        ([1], "Sample is of type list, not a map"),
        ({}, "Sample is incomplete: .*count"),
        ({"count": "1"}, r"Sample\.count is '1', not int"),
        ({"count": True}, r"Sample\.count is True, not int"),
        ({"count": 1.0}, r"Sample\.count is 1\.0, not int"),
        ({"count": 1, "on": 1}, r"Sample\.on is 1, not bool"),
        ({"count": 1, "share": "much"}, r"Sample\.share is 'much', not float"),
        ({"count": 1, "share": None}, r"Sample\.share is None, not float"),
        ({"count": 1, "name": 5}, r"Sample\.name is 5, not str \| None"),
        ({"count": 1, "more": []}, r"Sample\.more is \[\], not dict"),
        ({"count": 1, "raw": "text"}, r"Sample\.raw is 'text', not bytes"),
    ],
)
def test_a_shape_refuses_what_does_not_fit_and_names_it(values: Any, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        build(Sample, values)


def test_a_refusal_never_repeats_a_whole_payload() -> None:
    with pytest.raises(FormatError) as error:
        build(Sample, {"count": "x" * 100_000})
    assert len(str(error.value)) < 200


def test_a_request_needs_only_its_names() -> None:
    request = parse_request(REQUEST | {"pid": 7, "boot_id": "b", "start_time": 9, "later": "field"})
    assert request == Request("digits", "mlp", "mlp", "i", pid=7, boot_id="b", start_time=9)
    assert request.process == ("b", 7, 9)


def test_a_request_with_an_unknown_resume_mode_is_refused_with_those_there_are() -> None:
    with pytest.raises(FormatError, match="resume is 'perhaps'; one of none, allow, must, never, auto"):
        parse_request(REQUEST | {"resume": "perhaps"})


def test_papers_come_back_as_they_went_in() -> None:
    papers = parse_attempt_file(PAPERS | {"parent": "p", "step": 5}, "attempt.json")
    assert parse_attempt_file(papers._asdict(), "attempt.json") == papers
    assert papers == AttemptFile("a", REQUEST, 1000, parent="p", step=5)


@pytest.mark.parametrize(
    "values",
    [None, {}, {"attempt_id": 5, "request": REQUEST, "uid": 1}, PAPERS | {"uid": "root"}, PAPERS | {"request": {}},
     PAPERS | {"request": REQUEST | {"resume": "x"}}, PAPERS | {"request": REQUEST | {"pid": "1"}}],
)  # fmt: skip
def test_papers_that_cannot_be_used_are_refused_with_the_files_name(values: Any) -> None:
    with pytest.raises(FormatError, match=r"^attempt\.json: "):
        parse_attempt_file(values, "attempt.json")


def test_papers_of_a_newer_release_are_named_as_such_whatever_their_request_says() -> None:
    newer = PAPERS | {"format": FORMAT + 1, "request": REQUEST | {"resume": "new mode"}}
    with pytest.raises(UnknownVersionError, match="attempt format 2; this release reads 1"):
        parse_attempt_file(newer, "attempt.json")
