"""`respool checkpoints`, `respool restore --checkpoint` and `respool gc`, against a hub that is a dictionary."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

import respool as shim
from respoold.core import hubapi
from respoold.core.hubapi import Manifest
from respoold.core.manifest import manifest_digest
from unit.cli.fake_hub import Answer, FakeHub, a_run

Respool = Callable[..., Answer]

SIZES = [1 << 20, 3 << 20, 5]
BYTES = os.urandom(sum(SIZES))
URL = "/v1/runs/ada/digits/mlp"


def chunked(data: bytes) -> tuple[str, bytes]:
    """Digest and list of chunks of a part."""
    digests, at = b"", 0
    for size in SIZES:
        digests += blake3(data[at : at + size]).digest()
        at += size
    return manifest_digest(digests, SIZES), hubapi.dump(Manifest(digests, SIZES))


def told(step: int, parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "name": "checkpoint", "step": step, "logged_step": step, "time": 1.7e9, "attempt_id": "a1", "number": 1,
        "metadata": {}, "world": 1, "ranks": [0], "complete": True, "pinned": False, "size": len(BYTES),
        "source": "hub", "parts": parts,
    } | more  # fmt: skip


@pytest.fixture
def stored(hub: FakeHub) -> FakeHub:
    digest, chunks = chunked(BYTES)
    part = {"rank": 0, "name": "", "size": len(BYTES), "digest": digest}
    ranks = [part | {"rank": rank, "name": "model.pt"} for rank in (0, 1)]
    hub.runs(a_run("mlp"))
    hub.pages[f"{URL}/checkpoints"] = {
        "checkpoints": [
            told(30, ranks[:1], world=2, complete=False),
            told(20, ranks, world=2, ranks=[0, 1], pinned=True),
            told(10, [part], number=2),
        ]
    }
    hub.pages[f"{URL}/parts/{digest}"] = BYTES
    hub.pages[f"{URL}/parts/{digest}/chunks"] = chunks
    return hub


@pytest.mark.usefixtures("stored")
def test_the_list_says_which_are_whole_pinned_and_where(respool: Respool) -> None:
    out = respool("checkpoints", "mlp").out.splitlines()
    assert [line.split()[1] for line in out] == ["STEP", "30", "20", "10"]
    assert out[1].endswith("incomplete, 1 of 2 ranks")
    assert out[2].split()[-2:] == ["hub", "pinned"]
    lines = [json.loads(line) for line in respool("checkpoints", "mlp", "--json").out.splitlines()]
    assert [(one["step"], one["where"]) for one in lines] == [(30, "hub"), (20, "hub"), (10, "hub")]


@pytest.mark.usefixtures("stored")
def test_the_newest_complete_one_is_fetched_with_all_its_parts(respool: Respool, tmp_path: Path) -> None:
    answer = respool("restore", "mlp", "--checkpoint", "-o", "out", "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert (said["step"], said["paths"]) == (20, ["out/rank-0/model.pt", "out/rank-1/model.pt"])
    assert [(tmp_path / path).read_bytes() == BYTES for path in said["paths"]] == [True, True]
    assert not list(tmp_path.rglob("*.part"))
    assert respool("restore", "mlp", "--checkpoint", "-o", "out").code == 2
    assert respool("restore", "mlp", "--checkpoint", "-o", "one", "--rank", "1").code == 0
    assert os.listdir(tmp_path / "one") == ["rank-1"]
    assert respool("restore", "mlp", "--checkpoint", "--attempt", "2").code == 0
    assert (tmp_path / "checkpoint").read_bytes() == BYTES


def test_what_has_come_is_not_fetched_again(stored: FakeHub, respool: Respool, tmp_path: Path) -> None:
    damaged = BYTES[: 1 << 20] + os.urandom(1 << 20)
    (tmp_path / "checkpoint.part").write_bytes(damaged)
    assert respool("restore", "mlp", "--checkpoint", "--step", "10").code == 0
    assert (tmp_path / "checkpoint").read_bytes() == BYTES
    digest = chunked(BYTES)[0]
    good = stored.pages[f"{URL}/parts/{digest}"]
    stored.pages[f"{URL}/parts/{digest}"] = b"\0" * len(good)
    answer = respool("restore", "mlp", "--checkpoint", "--step", "10", "-o", "bad")
    assert (answer.code, "arrived damaged" in answer.err) == (1, True)
    assert not (tmp_path / "bad" / "checkpoint").exists()


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--checkpoint", "--step", "30"), 1, "is not complete: 1 of 2 ranks"),
        (("--checkpoint", "--step", "5"), 2, "no such checkpoint 'checkpoint' at step 5"),
        (("ema", "--checkpoint"), 2, "no such checkpoint 'ema'"),
        (("--checkpoint", "--rank", "7"), 2, "no share of rank 7"),
        ((), 2, "No file is named"),
        (("model.pt", "--step", "5"), 2, "--step and --rank are of checkpoints"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    respool: Respool, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = respool("restore", "mlp", *words)
    assert (answer.code, said in answer.err) == (code, True), answer.err


def test_one_that_retention_dropped_meanwhile_is_told_in_the_hub_s_words(
    stored: FakeHub, respool: Respool
) -> None:
    gone = {
        "code": "missing",
        "cause": "Run 'mlp' has no part x.",
        "advice": "Retention may have dropped it.",
    }
    stored.pages[f"{URL}/parts/{chunked(BYTES)[0]}/chunks"] = (404, gone)
    answer = respool("restore", "mlp", "--checkpoint", "--step", "10")
    assert answer.code == 2
    assert "Retention may have dropped it." in answer.err


def test_pinning_and_dropping_ask_the_hub(stored: FakeHub, respool: Respool) -> None:
    listing = stored.pages[f"{URL}/checkpoints"]
    for words, body in (
        (("--pin", "20"), {"name": "checkpoint", "step": 20, "pinned": True}),
        (("--unpin", "20"), {"name": "checkpoint", "step": 20, "pinned": False}),
        (("--drop", "10", "--name", "ema"), {"name": "ema", "step": 10, "dropped": True}),
    ):
        assert respool("checkpoints", "mlp", *words).code == 0
        assert stored.asked[-1] == ("PATCH", f"{URL}/checkpoints", body)
    assert stored.pages[f"{URL}/checkpoints"] is listing
    assert respool("checkpoints", "mlp", "--drop", "1", "--spool", ".").code == 2


def test_gc_says_what_it_removed(hub: FakeHub, respool: Respool) -> None:
    hub.pages["/v1/gc"] = {"blobs": 3, "bytes": 2048}
    assert respool("gc").out == f"{hub.url}: 3 blobs removed, 2.0 KiB\n"
    assert json.loads(respool("gc", "--json").out) == {"hub": hub.url, "blobs": 3, "bytes": 2048}
    assert hub.asked[-1][:2] == ("POST", "/v1/gc")


def test_a_folder_s_checkpoints_are_listed_and_copied_without_any_hub(
    respool: Respool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESPOOL_LASTING", "1")
    monkeypatch.setenv("RESPOOL_SPOOL_DIR", str(tmp_path / "spool"))
    run = shim.init(project="p", id="r", mode="spool", settings={"silent": True, "console": "off"})
    for step, data in ((5, b"five"), (6, b"six"), (7, b"seven")):
        with run.checkpoint(step) as file:
            file.write(data)
    run.finish()
    where = ("--spool", str(tmp_path / "spool"))
    listed = respool("checkpoints", "p/r", *where).out.splitlines()
    assert [(line.split()[1], line.split()[-1]) for line in listed[1:]] == [("7", "here"), ("6", "here")]
    answer = respool("restore", "p/r", "--checkpoint", "-o", "out", *where)
    assert answer.code == 0, answer.err
    assert (tmp_path / "out" / "checkpoint").read_bytes() == b"seven"
