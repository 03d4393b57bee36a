"""Console lines, samples and packages: read beside the rows, without reading the rows."""

import json

import pytest

from respool.wire.frames import Kind
from respool_hub.service import beside
from respool_hub.service.story import tell
from unit.hub.kit import name, record, row, rows

A, B = name(1), name(2)


def asked(desk, kind, only=None, last=None):
    def look(reader):
        run = reader.run("anna", "p", "run")
        story = tell(reader, run.id, run.head)
        return [json.loads(line) for line in beside.beside(reader, story, kind, only, last) if line]

    return desk.read(look)


def printed(seq, text, step=3):
    return record(Kind.CONSOLE, seq, {"stream": "stdout", "text": text}, step=step)


@pytest.fixture
def told(desk):
    desk.attach(A)
    desk.append(A, 0, printed(0, "a0") + row(1, 0) + printed(2, "a2"))
    desk.append(A, 3, rows(3, range(1, 500)))
    desk.append(A, 502, printed(502, "a502"))
    desk.attach(B, dead=[A])
    meta = {"about": {"argv": ["x.py"], "git": {"commit": "c0ffee"}}}
    desk.append(
        B, 0, record(Kind.META, 0, meta) + record(Kind.META, 1, {"packages": ["six==1"]}) + row(2, 500)
    )
    desk.append(B, 3, printed(3, "b3") + record(Kind.SYSTEM, 4, {"cpu": 1.5}))
    return desk


def test_lines_come_in_order_with_their_place(told):
    lines = asked(told, "console")
    assert [line["text"] for line in lines] == ["a0", "a2", "a502", "b3"]
    assert lines[1] == {
        "_attempt": 1, "_writer": 0, "_seq": 2, "_timestamp": 1002.0, "_step": 3, "stream": "stdout", "text": "a2"
    }  # fmt: skip
    assert [line["text"] for line in asked(told, "console", only=B)] == ["b3"]
    assert asked(told, "system") == [
        {"_attempt": 2, "_writer": 0, "_seq": 4, "_timestamp": 1004.0, "cpu": 1.5}
    ]
    assert [line["packages"] for line in asked(told, "packages")] == [["six==1"]]


@pytest.mark.parametrize("last", [0, 1, 2, 3, 4, 9])
def test_the_last_lines_are_the_last_of_all(told, last):
    texts = [line["text"] for line in asked(told, "console", last=last)]
    assert texts == (["a0", "a2", "a502", "b3"][-last:] if last else [])


def test_what_an_attempt_was_started_with_is_shown_and_not_inherited(told):
    first, second = told.show()["attempts"]
    assert (first["about"], second["about"]) == ({}, {"argv": ["x.py"], "git": {"commit": "c0ffee"}})
    assert "about" not in told.show()["meta"]
    told.append(B, 5, record(Kind.META, 5, {"about": {"git": {"commit": "c0ffee", "dirty": True}}}))
    assert told.show()["attempts"][1]["about"] == {
        "argv": ["x.py"],
        "git": {"commit": "c0ffee", "dirty": True},
    }


def test_batches_that_are_all_rows_are_not_read(told):
    class Counting:
        def __init__(self, reader):
            self._reader, self.read = reader, 0

        def __getattr__(self, asked):
            return getattr(self._reader, asked)

        def batch(self, batch):
            self.read += 1
            return self._reader.batch(batch)

    def look(reader):
        run = reader.run("anna", "p", "run")
        counted = Counting(reader)
        list(beside.beside(counted, tell(reader, run.id, run.head), "console", None, None))
        return counted.read

    assert told.read(look) == 4
