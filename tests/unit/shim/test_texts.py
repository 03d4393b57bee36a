"""What people call a run: too long, of a wrong type, or not to be written in UTF-8."""

from __future__ import annotations

import pytest

import respool
from respool import notices, texts
from respool.wire.limits import MAX_LABEL, MAX_NOTES, MAX_TAG, MAX_TAGS

STRICT = {"strict": True}


def begin(**options):
    return respool.init(project="p", **{"mode": "spool", "id": "r", **options})


def kept_of_the_next_life():
    """What a resume finds of name, notes and tags."""
    respool.finish(1)
    run = begin(resume="must")
    return run.name, run.notes, run.tags


def test_texts_that_are_too_long_are_cut_with_a_line_that_names_field_and_size(capsys):
    run = begin(name="n" * 2000, notes="o" * 70_000, tags=["t" * 300], group="g" * 1025, job_type="j" * 1024)
    assert (len(run.name), len(run.notes), len(run.tags[0])) == (MAX_LABEL, MAX_NOTES, MAX_TAG)
    assert (len(run.group), len(run.job_type)) == (MAX_LABEL, 1024)
    said = capsys.readouterr().err
    assert "name has 2000 characters, more than 1024; the rest is not kept." in said
    assert "notes has 70000 characters, more than 32768" in said
    assert "a tag has 300 characters" in said
    assert "group has 1025 characters" in said
    assert "job_type" not in said


def test_notes_of_megabytes_and_a_thousand_tags_reach_a_daemon(daemon, capsys):
    run = begin(mode="online", notes="é" * (3 << 20), tags=[f"tag-{n}-" + "é" * 400 for n in range(1000)])
    run.log({"a": 1})
    assert run._keeper.tether is not None
    assert (len(run.notes), len(run.tags)) == (MAX_NOTES, MAX_TAGS)
    assert "tags has 1000 entries, more than 100; the first 100 are kept." in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [{"notes": "n" * (MAX_NOTES + 1)}, {"name": "n" * 2000}, {"tags": ["t"] * 300}, {"tags": ["t" * 300]}],
)
def test_strict_refuses_what_is_too_long(arguments):
    with pytest.raises(respool.UsageError, match=r"has \d+ \w+, more than \d+\. "):
        begin(settings=STRICT, **arguments)
    assert respool.run is None


@pytest.mark.parametrize("name", ["name", "notes", "group", "job_type", "project", "entity", "id", "tags"])
def test_half_a_character_is_an_error_that_names_the_argument(name):
    with pytest.raises(
        respool.UsageError, match=r"holds half of a character\. Pass whole characters"
    ) as found:
        respool.init(**{"project": "p", "mode": "spool", name: "bad\ud800"})
    assert ("tag" if name == "tags" else name) in str(found.value)
    str(found.value).encode()
    assert respool.run is None


def test_a_script_in_a_folder_whose_name_is_no_utf8_begins_its_run(monkeypatch, daemon):
    monkeypatch.setattr("respool.request.program", lambda: "/home/\udcff/train.py")
    assert begin(mode="online")._keeper.tether is not None


def test_what_is_renamed_later_is_bound_the_same_and_recorded(capsys):
    run = begin()
    run.name, run.notes, run.tags = "later", "x" * (MAX_NOTES + 5), "one"
    assert (run.name, run.tags) == ("later", ("one",))
    assert f"notes has {MAX_NOTES + 5} characters" in capsys.readouterr().err
    assert kept_of_the_next_life() == ("later", "x" * MAX_NOTES, ("one",))


def test_a_name_that_is_none_later_is_a_line_and_the_name_stays(capsys):
    run = begin(name="first", tags=["a"])
    run.name = "bad\ud800"
    run.notes = 7
    run.tags = 7
    run.tags += ("bad\udc00",)
    assert (run.name, run.notes, run.tags) == ("first", "", ("a",))
    said = capsys.readouterr().err
    assert "name is 'bad\\ud800', which holds half of a character" in said
    assert "notes is 7, of type int. Pass a string. It stays as it was." in said
    assert said.count("tags is 7, of type int") == 1
    assert kept_of_the_next_life() == ("first", "", ("a",))


def test_tags_can_be_taken_away():
    run = begin(tags=["a"])
    run.tags = None
    assert run.tags == ()


def test_strict_raises_for_a_name_that_is_none():
    run = begin(settings=STRICT)
    with pytest.raises(respool.UsageError, match=r"name is 5, of type int\. Pass a string\."):
        run.name = 5
    with pytest.raises(respool.UsageError, match="notes has 32769 characters"):
        run.notes = "x" * (MAX_NOTES + 1)


def test_sentences_are_joined_with_a_capital_but_code_keeps_its_spelling():
    assert notices.joined("join=True was asked for", "wait") == "join=True was asked for. Wait."
    assert notices.joined("log() is late.", "") == "log() is late."
    assert notices.joined("run p/r lives", "é? ") == "Run p/r lives. É?"


def test_readable_text_is_what_it_was():
    assert texts.readable("née ✓") == "née ✓"
