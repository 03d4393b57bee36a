"""The commands that ask a hub, against a fake one."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from unit.cli.fake_hub import Answer, FakeHub, a_run

Respool = Callable[..., Answer]


def test_runs_are_one_json_object_a_line_as_the_hub_gave_them(hub: FakeHub, respool: Respool) -> None:
    runs = [a_run("one", new_field=[1]), a_run("two", state="crashed")]
    hub.runs(*runs)
    answer = respool("runs", "--json")
    assert answer == (0, answer.out, "")
    assert [json.loads(line) for line in answer.out.splitlines()] == runs


def test_runs_of_a_project_are_asked_for_by_name(hub: FakeHub, respool: Respool) -> None:
    hub.runs(a_run("one"), a_run("two", project="faces"))
    assert "faces/two" in respool("runs", "faces").out
    assert "digits/one" not in respool("runs", "faces").out


@pytest.mark.parametrize("columns", ["80", "200"])
def test_a_page_of_runs_fits_the_screen(
    hub: FakeHub, respool: Respool, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    hub.runs(a_run("a" * 30, pending_records=1240, lost=7, name="n" * 70), a_run("b", entity="grace"))
    lines = respool("runs").out.splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= int(columns)
    assert "digits/" + "a" * 30 in lines[1]
    assert "\x1b" not in "".join(lines)


def test_show_of_a_crashed_run_is_a_bad_state_and_of_a_running_one_is_none(
    hub: FakeHub, respool: Respool
) -> None:
    detail = {"config": {"rate": 0.1}, "summary": {"loss": 0.25}, "attempts": []}
    hub.runs(
        a_run("fine", **detail), a_run("dead", state="crashed", **detail), a_run("holed", lost=2, **detail)
    )
    assert [respool("show", run).code for run in ("fine", "dead", "holed")] == [0, 1, 1]
    assert "0.25" in respool("show", "fine").out


def test_show_tells_each_attempt_and_what_it_continues(hub: FakeHub, respool: Respool) -> None:
    first = {
        "attempt_id": "a",
        "number": 1,
        "state": "crashed",
        "parent": None,
        "first_step": 0,
        "last_step": 1233,
    }
    second = {"attempt_id": "b", "number": 2, "state": "finished", "parent": "a", "cut": 1001, "first_step": 1001,
              "last_step": 2000, "on_lineage": True}  # fmt: skip
    hub.runs(a_run("one", attempts=[first, second], config={}, summary={}))
    out = respool("show", "ada/digits/one").out
    assert "0 - 1 233" in out
    assert "1 from step 1 001" in out


def test_an_unknown_run_is_a_usage_error_with_what_is_near(hub: FakeHub, respool: Respool) -> None:
    hub.runs(a_run("mlp-wide"), a_run("transformer"))
    answer = respool("show", "mlp-wode")
    assert answer.code == 2
    assert "There is no run 'mlp-wode'" in answer.err
    assert "ada/digits/mlp-wide" in answer.err
    assert "transformer" not in answer.err


def test_an_ambiguous_run_lists_its_candidates_and_more_of_the_path_decides(
    hub: FakeHub, respool: Respool
) -> None:
    hub.runs(a_run("mlp"), a_run("mlp", project="faces"), a_run("mlp", entity="grace"))
    answer = respool("files", "mlp")
    assert answer.code == 2
    assert all(path in answer.err for path in ("ada/digits/mlp", "ada/faces/mlp", "grace/digits/mlp"))
    hub.pages["/v1/runs/ada/faces/mlp/files"] = {"files": []}
    assert respool("files", "faces/mlp").code == 0


def test_a_run_is_found_by_the_spelling_its_script_used(hub: FakeHub, respool: Respool) -> None:
    hub.runs(a_run("lr-0-1", original_id="lr=0.1", config={}, summary={}, attempts=[]) | {"attempts": []})
    assert respool("show", "lr=0.1").code == 0


@pytest.mark.parametrize("path", ["a/b/c/d", "a//b", "", "x" * 65])
def test_a_path_that_cannot_be_one_is_a_usage_error_before_the_hub_is_asked(
    hub: FakeHub, respool: Respool, path: str
) -> None:
    assert respool("show", path).code == 2
    assert hub.asked == []


def test_a_hub_that_is_down_is_exit_code_3_with_cause_advice_and_no_traceback(
    respool: Respool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RESPOOL_HUB_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("RESPOOL_API_KEY", "rsp_test")
        answer = respool("runs")
    assert answer.code == 3
    assert "does not answer" in answer.err
    assert "RESPOOL_HUB_URL" in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) == 2


def test_a_wrong_key_is_exit_code_2_in_the_hubs_own_words(hub: FakeHub, respool: Respool) -> None:
    hub.key = "rsp_other"
    answer = respool("runs")
    assert answer.code == 2
    assert "This key is unknown.\n  Log in again." in answer.err


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2]", b'{"runs": '])
def test_what_is_no_hub_is_said_to_be_none(hub: FakeHub, respool: Respool, body: bytes) -> None:
    hub.pages["/v1/runs"] = body
    answer = respool("runs")
    assert answer.code == 3
    assert "is no respool hub" in answer.err


def test_a_hub_in_trouble_is_exit_code_3(hub: FakeHub, respool: Respool) -> None:
    hub.pages["/v1/runs"] = (503, b"busy")
    assert respool("runs").code == 3


def test_a_key_does_not_cross_a_network_in_plain_text(
    respool: Respool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESPOOL_HUB_URL", "http://192.0.2.1:8787")
    monkeypatch.setenv("RESPOOL_API_KEY", "rsp_test")
    answer = respool("runs")
    assert answer.code == 2
    assert "plain text" in answer.err


@pytest.mark.parametrize("url", ["hub.example", "ftp://x", "unix:relative", "http://", "http://[::1"])
def test_an_address_that_is_none_is_a_usage_error(respool: Respool, url: str) -> None:
    answer = respool("runs", "--hub", url)
    assert answer.code == 2
    assert repr(url) in answer.err


ROWS = [
    {"_step": step, "_timestamp": 1e9 + step, "_runtime": float(step), "loss": 1 / (step + 1)}
    for step in range(500)
]


@pytest.fixture
def logged(hub: FakeHub) -> FakeHub:
    hub.runs(a_run("mlp", last_step=499))
    hub.history("ada/digits/mlp", ROWS)
    return hub


@pytest.mark.usefixtures("logged")
def test_history_as_json_is_every_row_in_order(respool: Respool) -> None:
    out = respool("history", "mlp", "--json").out
    assert [json.loads(line) for line in out.splitlines()] == ROWS


@pytest.mark.usefixtures("logged")
def test_history_in_a_pipe_is_all_of_it_and_aligned(respool: Respool) -> None:
    lines = respool("history", "mlp").out.splitlines()
    assert len(lines) == 1 + len(ROWS)
    assert len({len(line) for line in lines}) == 1


def test_a_tail_reads_a_window_and_not_the_whole_history(logged: FakeHub, respool: Respool) -> None:
    lines = respool("history", "mlp", "--tail", "3").out.splitlines()
    assert [line.split()[0] for line in lines] == ["step", "497", "498", "499"]
    assert "min_step=475" in logged.asked[-1][1]


def test_a_tail_of_sparse_steps_widens_its_window_until_it_is_full(hub: FakeHub, respool: Respool) -> None:
    rows = [{"_step": step, "loss": 0.5} for step in range(0, 100_000, 1000)]
    hub.runs(a_run("mlp", last_step=99_000))
    hub.history("ada/digits/mlp", rows)
    out = respool("history", "mlp", "--tail", "20", "--json").out
    assert [json.loads(line) for line in out.splitlines()] == rows[-20:]


def test_head_stops_reading_where_it_has_enough(hub: FakeHub, respool: Respool) -> None:
    hub.runs(a_run("mlp"))
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS[:2])
    hub.pages["/v1/runs/ada/digits/mlp/history"] = lines + b"this is never looked at\n"
    assert respool("history", "mlp", "--head", "2", "--json").code == 0
    assert respool("history", "mlp", "--json").code == 3


def test_csv_has_a_column_for_keys_that_come_late(hub: FakeHub, respool: Respool) -> None:
    rows = [{"_step": 0, "a": 1.5}, {"_step": 1, "b": 'x,"y"'}]
    hub.runs(a_run("mlp"))
    hub.history("ada/digits/mlp", rows)
    out = respool("history", "mlp", "--csv").out
    assert out == '_step,a,b\n0,1.5,\n1,,"x,""y"""\n'


def test_a_writers_records_are_filtered_out_of_all(hub: FakeHub, respool: Respool) -> None:
    rows = [{"_step": 0, "_attempt": 1, "_writer": writer, "_seq": 3, "a": writer} for writer in (0, 1)]
    hub.runs(a_run("mlp"))
    hub.history("ada/digits/mlp", rows)
    assert json.loads(respool("history", "mlp", "--writer", "1", "--json").out) == rows[1]
    assert "all=1" in hub.asked[-1][1]


BYTES = os.urandom(3 << 20)


@pytest.fixture
def stored(hub: FakeHub) -> FakeHub:
    hub.runs(a_run("mlp"))
    path = "/v1/runs/ada/digits/mlp/files/out/model.pt"
    hub.pages[path] = BYTES
    hub.headers[path] = {"X-Respool-Digest": blake3(BYTES).hexdigest()}
    return hub


@pytest.mark.usefixtures("stored")
def test_restore_writes_the_bytes_under_the_files_own_name(respool: Respool, tmp_path: Path) -> None:
    assert respool("restore", "mlp", "./out/model.pt").code == 0
    assert (tmp_path / "out" / "model.pt").read_bytes() == BYTES
    assert os.listdir(tmp_path / "out") == ["model.pt"]


def test_restore_of_corrupted_bytes_leaves_nothing_and_is_a_bad_state(
    stored: FakeHub, respool: Respool, tmp_path: Path
) -> None:
    path = "/v1/runs/ada/digits/mlp/files/out/model.pt"
    stored.pages[path] = BYTES[:1000] + bytes([BYTES[1000] ^ 1]) + BYTES[1001:]
    target = tmp_path / "m.pt"
    target.write_bytes(b"before")
    answer = respool("restore", "mlp", "out/model.pt", "-o", str(target), "--force")
    assert answer.code == 1
    assert "arrived damaged" in answer.err
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["m.pt"]


@pytest.mark.usefixtures("stored")
def test_restore_does_not_overwrite_unless_told_to(respool: Respool, tmp_path: Path) -> None:
    target = tmp_path / "m.pt"
    target.write_bytes(b"mine")
    words = ("restore", "mlp", "out/model.pt", "-o", str(target))
    assert respool(*words).code == 2
    assert target.read_bytes() == b"mine"
    assert respool(*words, "--force").code == 0
    assert target.read_bytes() == BYTES


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "./"])
@pytest.mark.usefixtures("stored")
def test_a_name_that_leaves_the_folder_needs_an_explicit_target(respool: Respool, name: str) -> None:
    assert respool("restore", "mlp", name).code == 2


def test_restore_from_a_hub_that_names_no_digest_is_refused(
    stored: FakeHub, respool: Respool, tmp_path: Path
) -> None:
    stored.headers.clear()
    assert respool("restore", "mlp", "out/model.pt").code == 3
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("page", [(302, {}), (400, b"[" * 200_000), (200, b"[" * 200_000)])
def test_what_is_no_hub_is_told_in_words(hub, respool, page):
    hub.pages["/v1/runs"] = page
    done = respool("runs")
    assert done.code in {2, 3}
    assert "Traceback" not in done.err
    assert hub.url in done.err


def test_a_list_of_runs_counts_attempts_by_their_name(hub, respool):
    hub.runs(a_run("r"))
    assert "ATTEMPTS" in respool("runs").out


def test_a_long_file_name_loses_its_middle_on_a_terminal_only(hub, respool, monkeypatch):
    hub.runs(a_run("r"))
    name = "first" + "x" * 245 + "last"
    hub.pages["/v1/runs/ada/digits/r/files"] = {"files": [{"name": name, "size": 1, "digest": "d" * 64}]}
    assert name in respool("files", "r").out
    monkeypatch.setenv("COLUMNS", "80")
    out = respool("files", "r").out
    assert max(map(len, out.splitlines())) <= 80
    assert "first" in out
    assert "last" in out
    assert name in respool("files", "r", "--json").out


def test_the_key_of_the_environment_is_not_sent_to_another_hub_than_the_environments(
    hub, respool, monkeypatch
):
    monkeypatch.setenv("RESPOOL_HUB_URL", "https://elsewhere.example")
    done = respool("runs", "--hub", hub.url)
    assert done.code == 2
    assert f"respool login {hub.url}" in done.err
    assert not hub.asked


@pytest.mark.parametrize("more", [[], ["--csv"]])
def test_nested_values_of_a_history_are_json(hub, respool, more):
    hub.runs(a_run("r"))
    hub.history("ada/digits/r", [{"_step": 0, "box": [1, "a", None]}])
    out = respool("history", "r", *more).out
    assert '[1, "a", null]' in out.replace('""', '"')


def test_console_prints_what_was_printed_attempt_by_attempt(hub: FakeHub, respool: Respool) -> None:
    records = [
        {"_attempt": 1, "stream": "stdout", "text": "epoch 1"},
        {"_attempt": 2, "stream": "stderr", "text": "epoch\x1b[2J 2", "skipped": 7},
    ]
    asked: list[dict[str, str]] = []

    def stream(query: dict[str, str]) -> bytes:
        asked.append(query)
        return b"".join(json.dumps(record).encode() + b"\n" for record in records)

    hub.runs(a_run("mlp"))
    hub.pages["/v1/runs/ada/digits/mlp/beside/console"] = stream
    lines = respool("console", "mlp").out.splitlines()
    assert lines[:3] == ["epoch 1", "-- attempt 2", "-- 7 lines skipped"]
    assert "\x1b" not in lines[3]
    respool("console", "mlp", "--all")
    respool("console", "mlp", "--last", "5", "--attempt", "2")
    assert asked == [{"last": "100"}, {}, {"last": "5", "attempt": "2"}]
    assert [json.loads(line) for line in respool("console", "mlp", "--json").out.splitlines()] == records
    records.clear()
    assert "Nothing was printed" in respool("console", "mlp").err


def test_show_tells_what_a_run_was_started_with_and_what_is_hidden(hub: FakeHub, respool: Respool) -> None:
    git = {"commit": "c0ffee" * 7, "branch": "main", "dirty": True}
    about = {"argv": ["train.py", "--lr", "1"], "git": git, "python": "3.11.7", "os": "Linux", "cpus": 2}
    attempt = {
        "attempt_id": "a",
        "number": 1,
        "state": "crashed",
        "about": about,
        "hidden": 234,
        "rows": 1235,
    }
    hub.runs(a_run("mlp", attempts=[attempt], config={}, summary={}))
    out = respool("show", "mlp").out
    assert "train.py --lr 1" in out
    assert "c0ffeec0ffee on main, with changes that are not committed" in out
    assert "3.11.7 on Linux, 2 CPUs" in out
    assert (
        "234 rows that a later attempt logged again; `respool lineage digits/mlp --cut ATTEMPT none`" in out
    )


def test_show_says_that_a_run_diverged_and_how_to_mend_it(hub: FakeHub, respool: Respool) -> None:
    hub.runs(a_run("mlp", attempts=[], config={}, summary={}))
    assert "diverged" not in respool("show", "mlp").out
    hub.runs(a_run("mlp", attempts=[], config={}, summary={}, diverged=True))
    assert "`respool lineage digits/mlp` shows and mends that" in respool("show", "mlp").out


PLAIN: dict[str, object] = {"attempts": [], "config": {}, "summary": {}}


def test_show_says_what_a_bounded_project_holds(hub: FakeHub, respool: Respool) -> None:
    hub.runs(a_run("mlp", **PLAIN, storage={"held": 3 << 30, "quota": 10 << 30}))
    assert "  storage  project digits holds 3.0 GiB of 10.0 GiB that it may" in respool("show", "mlp").out
    hub.runs(a_run("mlp", **PLAIN))
    assert "storage" not in respool("show", "mlp").out


def test_a_value_longer_than_all_else_is_cut_in_a_table_and_whole_as_json(
    hub: FakeHub, respool: Respool
) -> None:
    hub.runs(a_run("mlp", last_step=8))
    told = [{"_step": step, "text": "x" * (100_000 if step == 1 else 1)} for step in range(9)]
    hub.history("ada/digits/mlp", told)
    printed = respool("history", "mlp").out.splitlines()
    assert max(map(len, printed)) < 500
    assert printed[2].endswith("x… (100 000 characters)")
    assert [json.loads(line) for line in respool("history", "mlp", "--json").out.splitlines()] == told
