"""Runs as folders: everything that is listed is there, and nothing half."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from fakes.folders import Folder
from respool.wire.frames import Kind
from respoold.cli import imported
from respoold.cli.rebuilt import Named, rebuild
from unit.cli.fake_hub import Answer, FakeHub, a_run

Respool = Callable[..., Answer]
RUN = "/v1/runs/ada/digits/mlp"
BYTES = bytes(range(256)) * 100
ROWS = [{"_step": step, "loss": 1 / (step + 1), "note": {"a": step}} for step in range(5)]


@pytest.fixture
def filled(hub: FakeHub) -> FakeHub:
    hub.runs(a_run("mlp", config={"lr": 0.1}, summary={"loss": 0.2}, attempts=[]), a_run("empty"))
    hub.history("ada/digits/mlp", ROWS)
    hub.history("ada/digits/empty", [])
    for name in ("mlp", "empty"):
        for kind in ("console", "system", "packages"):
            hub.pages[f"/v1/runs/ada/digits/{name}/beside/{kind}"] = b""
        hub.pages[f"/v1/runs/ada/digits/{name}/files"] = {"files": []}
    hub.pages[f"{RUN}/beside/console"] = b'{"text": "hello"}\n{"text": "world"}\n'
    hub.pages[f"{RUN}/files"] = {"files": [{"name": "out/model.pt", "size": len(BYTES), "step": 4}]}
    hub.pages[f"{RUN}/files/out/model.pt"] = BYTES
    hub.headers[f"{RUN}/files/out/model.pt"] = {"X-Respool-Digest": blake3(BYTES).hexdigest()}
    return hub


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def everything(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


@pytest.mark.usefixtures("filled")
def test_a_run_becomes_a_folder_with_all_that_its_list_names(respool: Respool, tmp_path: Path) -> None:
    answer = respool("export", "mlp", "empty", "-o", "out")
    assert answer.code == 0, answer.err
    assert "5 rows, 1 file (25.0 KiB)" in answer.out
    folder = tmp_path / "out" / "ada" / "digits" / "mlp"
    assert everything(folder) == [
        "config.json", "console.jsonl", "export.json", "files/out/model.pt", "history.parquet",
        "packages.jsonl", "run.json", "summary.json", "system.jsonl",
    ]  # fmt: skip
    assert (folder / "files" / "out" / "model.pt").read_bytes() == BYTES
    assert (read(folder / "config.json"), read(folder / "summary.json")) == ({"lr": 0.1}, {"loss": 0.2})
    assert read(folder / "run.json")["run_id"] == "mlp"
    assert (folder / "console.jsonl").read_text().splitlines() == ['{"text": "hello"}', '{"text": "world"}']
    told = read(folder / "export.json")
    assert (told["format"], told["run"], told["rows"], told["missing"]) == (1, "ada/digits/mlp", 5, [])
    assert told["files"][0]["digest"] == blake3(BYTES).hexdigest()
    assert read(tmp_path / "out/ada/digits/empty/export.json")["rows"] == 0


@pytest.mark.usefixtures("filled")
def test_the_history_is_a_parquet_table_and_without_pyarrow_a_csv(
    respool: Respool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert respool("export", "mlp", "-o", "a").code == 0
    table = parquet.read_table(tmp_path / "a/ada/digits/mlp/history.parquet").to_pylist()
    assert [(row["_step"], row["loss"]) for row in table] == [(row["_step"], row["loss"]) for row in ROWS]
    monkeypatch.setattr("respoold.cli.exported.find_spec", lambda _: None)
    assert respool("export", "mlp", "-o", "b").code == 0
    folder = tmp_path / "b/ada/digits/mlp"
    with open(folder / "history.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["_step"] for row in found] == ["0", "1", "2", "3", "4"]
    assert read(folder / "export.json")["history"] == "history.csv"


def test_what_cannot_be_fetched_whole_leaves_the_folder_as_it_was(
    filled: FakeHub, respool: Respool, tmp_path: Path
) -> None:
    assert respool("export", "mlp", "-o", "out").code == 0
    before = everything(tmp_path / "out")
    filled.pages[f"{RUN}/files/out/model.pt"] = b"damaged"
    answer = respool("export", "mlp", "-o", "out", "--force")
    assert answer.code == 1
    assert "arrived damaged" in answer.err
    assert everything(tmp_path / "out") == before
    assert (tmp_path / "out/ada/digits/mlp/files/out/model.pt").read_bytes() == BYTES


@pytest.mark.usefixtures("filled")
def test_a_folder_that_is_there_is_replaced_only_by_force(respool: Respool, tmp_path: Path) -> None:
    folder = tmp_path / "ada/digits/mlp"
    folder.mkdir(parents=True)
    (folder / "mine").write_text("mine")
    answer = respool("export", "empty", "mlp")
    assert answer.code == 2
    assert "is there already" in answer.err
    assert os.listdir(tmp_path / "ada/digits") == ["mlp"], "the run before it was not written either"
    assert respool("export", "mlp", "--force").code == 0
    assert "mine" not in everything(folder)
    assert os.listdir(tmp_path / "ada/digits") == ["mlp"]


def test_names_never_lead_out_of_the_folder(filled: FakeHub, respool: Respool, tmp_path: Path) -> None:
    filled.pages[f"{RUN}/files"] = {"files": [{"name": "../../x", "size": 1}]}
    assert respool("export", "mlp", "-o", "out").code == 1
    assert everything(tmp_path / "out") == []
    filled.runs(a_run("mlp", project=".."))
    for kind in ("console", "system", "packages"):
        filled.pages[f"/v1/runs/ada/../mlp/beside/{kind}"] = b""
    answer = respool("export", "mlp", "-o", "out")
    assert answer.code != 0 or (tmp_path / "out/ada/%2E%2E/mlp").is_dir()
    assert not (tmp_path / "out/mlp").exists()


def test_a_folder_of_a_spool_is_exported_without_a_hub(respool: Respool, tmp_path: Path) -> None:
    spool = str(tmp_path / "spool")
    lying = Folder(spool, "a" * 32).rows(range(10))
    lying.file("here.pt", b"bytes", step=9)
    os.unlink(lying.file("gone.pt", b"sent", step=9))
    lying.end()
    answer = respool("export", "mlp-1", "--spool", spool, "-o", "out")
    assert answer.code == 1
    assert "gone.pt" in answer.err
    (told,) = [read(path) for path in (tmp_path / "out").rglob("export.json")]
    assert (told["rows"], [one["name"] for one in told["files"]]) == (10, ["here.pt"])
    assert told["missing"] == ["gone.pt"]
    assert told["state"] == "finished"


LIFE = {
    "text": 'a, b\n"c"', "nested": {"a": [1, {"b": None}]}, "whole": 7, "truth": True, "list": [1, 2.5],
    "nan": float("nan"), "less": -1e-300,
}  # fmt: skip


@pytest.mark.parametrize("pyarrow", [True, False])
def test_what_is_imported_is_what_was_exported(
    respool: Respool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pyarrow: bool
) -> None:
    if not pyarrow:
        monkeypatch.setattr("respoold.cli.exported.find_spec", lambda _: None)
    lying = Folder(str(tmp_path / "spool"), "a" * 32).rows(range(10), **LIFE)
    lying.file("sub/here.pt", BYTES, step=9)
    lying.record(Kind.CONSOLE, {"stream": "out", "text": "hello", "skipped": 0}, 9)
    lying.end()
    assert respool("export", "mlp-1", "--spool", lying.path, "-o", "out").code == 0
    (first,) = [path.parent for path in (tmp_path / "out").rglob("export.json")]
    named = Named(None, "digits", "mlp-1", "mlp-1")
    os.makedirs(tmp_path / "again")
    assert rebuild(imported.read(str(first)), named, str(tmp_path / "again")) == 10
    assert respool("export", "mlp-1", "--spool", str(tmp_path / "again"), "-o", "back").code == 0
    (second,) = [path.parent for path in (tmp_path / "back").rglob("export.json")]
    history = "history.parquet" if pyarrow else "history.csv"
    for name in ("config.json", "summary.json", "files/sub/here.pt", history):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    (line,) = (second / "console.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == "hello"
    assert read(second / "run.json")["state"] == "finished"


def test_an_export_of_many_segments_comes_back_whole_and_the_same_each_time(
    respool: Respool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("respoold.cli.rebuilt._ROOM", 2000)
    lying = Folder(str(tmp_path / "spool"), "a" * 32).rows(range(100)).end()
    assert respool("export", "mlp-1", "--spool", lying.path, "-o", "out").code == 0
    (folder,) = [path.parent for path in (tmp_path / "out").rglob("export.json")]
    shots = []
    for place in ("one", "two"):
        os.makedirs(tmp_path / place)
        rebuild(imported.read(str(folder)), Named(None, "digits", "x", "x"), str(tmp_path / place))
        found = sorted((tmp_path / place).rglob("*.seg"))
        assert len(found) > 3
        shots.append([(path.parent.name, path.read_bytes()) for path in found])
    assert shots[0] == shots[1]
    answer = respool("history", "x", "--spool", str(tmp_path / "one"), "--json")
    assert [json.loads(line)["_step"] for line in answer.out.splitlines()] == list(range(100))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "files/here.pt").write_bytes(b"other"), "is not what was exported"),
        (lambda folder: (folder / "files/here.pt").unlink(), "cannot be read"),
        (lambda folder: (folder / "run.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "export.json").unlink(), "is no exported run"),
        (lambda folder: (folder / "export.json").write_text('{"format": 2}'), "format 2; this release"),
        (lambda folder: (folder / "history.parquet").write_bytes(b"x"), "cannot be read"),
    ],
)
def test_a_damaged_export_is_refused_before_anything_is_sent(
    hub: FakeHub, respool: Respool, tmp_path: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    lying = Folder(str(tmp_path / "spool"), "a" * 32).rows(range(3))
    lying.file("here.pt", b"bytes", step=2)
    lying.end()
    assert respool("export", "mlp-1", "--spool", lying.path, "-o", "out").code == 0
    (folder,) = [path.parent for path in (tmp_path / "out").rglob("export.json")]
    hub.pages["/v1/me"] = {"entity": "ada"}
    hub.runs()
    spoil(folder)
    answer = respool("import", str(folder))
    assert answer.code in {1, 2}
    assert said in answer.err
    assert [method for method, *_ in hub.asked if method != "GET"] == []


def test_a_run_that_is_at_the_hub_is_not_imported_over(
    filled: FakeHub, respool: Respool, tmp_path: Path
) -> None:
    filled.runs(a_run("mlp", config={}, summary={}, attempts=[{"attempt_id": "b" * 32}]))
    filled.pages["/v1/me"] = {"entity": "ada"}
    assert respool("export", "mlp", "-o", "out").code == 0
    answer = respool("import", str(tmp_path / "out/ada/digits/mlp"))
    assert answer.code == 2
    assert "There is a run ada/digits/mlp at the hub already." in answer.err
    assert "--id" in answer.err
