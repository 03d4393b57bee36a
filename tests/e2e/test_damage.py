"""Promise P4 at the level of processes: damage costs itself and nothing else, and is counted to the record."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from glob import glob
from typing import Any

import pytest

from e2e.marks import slowly
from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import Life
from respool.wire.frames import HEADER_SIZE, Frame, Kind, walk
from respool.wire.segment import DATA

ROWS = 400


class Spoilt:
    """A run that ended while the hub was away; its segments lie in a stopped daemon's spool."""

    def __init__(self, site: Site, **options: Any) -> None:
        self.site = site
        site.hub.start()
        site.give_keys()
        assert site.hub.stop() == 0
        site.node.daemon.start()
        self.life: Life = site.node.rows(**{"steps": ROWS, **options})
        assert self.life.process.wait() == 0, self.life.process.words()
        until(lambda: (site.node.status() or {}).get("pending_records", 0) > ROWS, "all synced")
        assert site.node.daemon.stop() == 0

    @property
    def segments(self) -> list[str]:
        return sorted(glob(os.path.join(self.site.node.spool, "v1", "u*", "*", "*.seg")))

    def frames(self, segment: int = 0) -> list[tuple[int, Frame]]:
        """(offset, frame) of every record of a segment."""
        with open(self.segments[segment], "rb") as file:
            data = file.read()
        at, found = DATA, []
        for frame in walk(data, DATA).frames:
            found.append((at, frame))
            at += HEADER_SIZE + len(frame.payload)
        return found

    def write(self, segment: int, offset: int, data: bytes) -> None:
        with open(self.segments[segment], "r+b") as file:
            file.seek(offset)
            file.write(data)

    def flip(self, offset: int) -> None:
        with open(self.segments[0], "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1 << random.randrange(8)]))

    def brought(self) -> dict[str, Any]:
        """Hub and daemon come back; the run, once everything that is left is there."""
        self.site.hub.start()
        self.site.node.daemon.start()
        return self.site.drained()

    def missing(self) -> set[int]:
        """Steps that were logged and are not in the history; what is there has its value and its place."""
        rows = self.site.view.history(PROJECT, RUN)
        logged = dict(self.life.noted)
        assert [row["_step"] for row in rows] == sorted({row["_step"] for row in rows})
        assert all(logged[row["_step"]] == row["value"] for row in rows)
        return set(logged) - {row["_step"] for row in rows}


def in_payload(frame: Frame) -> int:
    return HEADER_SIZE + random.randrange(len(frame.payload))


def in_length(_frame: Frame) -> int:
    return random.randrange(4)


def in_header(_frame: Frame) -> int:
    return random.randrange(4, HEADER_SIZE)


@pytest.mark.parametrize("where", [in_payload, in_length, slowly(in_header)])
def test_a_flipped_bit_costs_its_record_and_is_counted(site: Site, where: Callable[[Frame], int]) -> None:
    spoilt = Spoilt(site)
    rows = [(at, frame) for at, frame in spoilt.frames() if frame.kind == Kind.ROW]
    hit = [rows[at] for at in (10, 100, 101, 300)]
    for offset, frame in hit:
        spoilt.flip(offset + where(frame))
    run = spoilt.brought()
    assert spoilt.missing() == {frame.step for _, frame in hit}
    assert run["lost"] == 4
    assert run["state"] == "finished"
    shown = site.node.call("show", RUN, "--json")
    assert shown.returncode == 1, "lost rows are a bad state"
    assert json.loads(shown.stdout)["attempts"][0]["lost"] == 4


def test_a_hole_of_zeros_costs_what_lay_in_it(site: Site) -> None:
    spoilt = Spoilt(site)
    frames = spoilt.frames()
    begin, end = frames[150][0] + 3, frames[180][0] + 5
    spoilt.write(0, begin, bytes(end - begin))
    run = spoilt.brought()
    assert spoilt.missing() == {frame.step for _, frame in frames[150:181]}
    assert run["lost"] == 31


@pytest.mark.parametrize("inside", [slowly(0), 7, slowly(HEADER_SIZE + 2)])
def test_a_truncated_segment_costs_what_was_synced_behind_the_cut(site: Site, inside: int) -> None:
    spoilt = Spoilt(site)
    frames = spoilt.frames()
    os.truncate(spoilt.segments[0], frames[200][0] + inside)
    run = spoilt.brought()
    lost = [frame for _, frame in frames[200:]]
    assert spoilt.missing() == {frame.step for frame in lost if frame.kind == Kind.ROW}
    assert run["lost"] == len(lost), "the durable mark knows how many there were"
    assert run["state"] == "crashed", "its end is among what was lost"


def test_a_torn_tail_is_cut_and_no_loss(site: Site) -> None:
    spoilt = Spoilt(site)
    offset, frame = spoilt.frames()[-1]
    spoilt.write(0, offset + HEADER_SIZE + len(frame.payload), b"\x40\x00\x00\x00half a frame")
    run = spoilt.brought()
    assert spoilt.missing() == set()
    assert (run["lost"], run["state"]) == (0, "finished")


def test_a_missing_segment_costs_itself_and_later_ones_are_not_dropped(site: Site) -> None:
    spoilt = Spoilt(site, steps=10_000, pad=2000)
    first, second = spoilt.frames(0), spoilt.frames(1)
    os.unlink(spoilt.segments[0])
    run = spoilt.brought()
    assert spoilt.missing() == {frame.step for _, frame in first if frame.kind == Kind.ROW}
    assert run["lost"] == second[0][1].seq


def test_damaged_papers_lose_nothing_that_other_attempts_have(site: Site) -> None:
    spoilt = Spoilt(site)
    whole = site.node.spool
    [papers] = glob(os.path.join(whole, "v1", "u*", "*", "attempt.json"))
    with open(papers, "rb") as file:
        good = file.read()
    with open(papers, "wb") as file:
        file.write(good[: len(good) // 2])
    site.hub.start()
    site.node.daemon.start()
    other = site.node.rows(id="other", steps=50)
    assert other.process.wait() == 0
    site.drained(run_id="other")
    warnings = (site.node.status() or {})["warnings"]
    assert any("attempt.json" in one for one in warnings)
    assert site.node.daemon.stop() == 0
    with open(papers, "wb") as file:
        file.write(good)
    site.node.daemon.start()
    assert site.drained()["lost"] == 0
    assert spoilt.missing() == set()


def test_a_daemon_without_its_progress_file_sends_again_and_nothing_doubles(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=10**6, pace=0.001).reach(300)
    until(lambda: (site.view.find(PROJECT, RUN) or {}).get("rows", 0) > 200, "some of it at the hub")
    site.node.daemon.kill()
    for path in glob(os.path.join(site.node.spool, "v1", "u*", "*", "progress*")):
        os.unlink(path)
    site.node.daemon.start()
    life.reach(life.last_step + 200)
    life.process.kill()
    run = site.drained()
    assert run["lost"] == 0
    steps = [row["_step"] for row in site.view.history(PROJECT, RUN, every=True)]
    assert steps == list(range(len(steps)))
    assert len(steps) - len(life.noted) in {0, 1}
