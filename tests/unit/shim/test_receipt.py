"""The last lines of a job's output: how it ended, what was kept, what waits, where to look."""

import shutil
import subprocess
import sys

import pytest

import respool
from fakes.daemon import FakeDaemon
from respool import receipt

CRASH = """
import respool
run = respool.init(project="p", id="r", mode="spool")
for step in range(3):
    run.log({"a": step})
raise RuntimeError("no luck")
"""


def said(capsys) -> list[str]:
    lines = capsys.readouterr().err.splitlines()
    return lines[next(at for at, line in enumerate(lines) if "run p/r finished" in line) :]


def a_backlog(attempt_id: str, **more) -> dict:
    run = {
        "attempt_id": attempt_id,
        "rows": 2,
        "pending_records": 4,
        "pending_bytes": 2048,
        "pending_files": 1,
    }
    return {"runs": [run | {"pending_file_bytes": 3 << 20, "why": "the hub does not answer: refused"} | more]}


def test_without_a_daemon_it_tells_rows_files_folder_and_how_to_send_and_see_them(capsys, tmp_path, spool):
    run = respool.init(project="p", id="r", mode="spool")
    run.log({"a": 1})
    run.log({"a": 2})
    (tmp_path / "work" / "model.pt").write_bytes(b"12345")
    run.save("model.pt")
    run.finish()
    assert said(capsys) == [
        "respool: run p/r finished after step 1 · synced in the spool",
        f"respool:   kept     2 rows, 1 file in {spool}/{run.attempt_id}",
        f"respool:   waiting  for `respool sync {spool}`, or for your daemon when it starts",
        f"respool:   see      respool show p/r --spool {spool}",
    ]


def test_with_a_daemon_it_tells_what_waits_and_why(daemon: FakeDaemon, capsys):
    run = respool.init(project="p", id="r")
    daemon.status = a_backlog(run.attempt_id)
    run.log({"a": 1})
    run.finish()
    lines = said(capsys)
    assert "kept     2 rows" in lines[1]
    assert lines[2] == (
        "respool:   waiting  4 records (2.0 KiB), 1 file (3.0 MiB): the hub does not answer: refused; "
        "the daemon goes on, `respool status` tells"
    )


def test_what_the_daemon_lists_no_more_is_at_the_hub(daemon: FakeDaemon, capsys):
    run = respool.init(project="p", id="r")
    daemon.status = {"runs": []}
    run.log({"a": 1})
    run.finish()
    lines = said(capsys)
    assert lines[0] == "respool: run p/r finished after step 0 · at the hub"
    assert lines[1] == "respool:   kept     1 row"
    assert lines[2] == "respool:   see      respool show p/r"


def test_rows_and_files_are_told_also_where_the_spool_is_closed_to_the_user(
    daemon: FakeDaemon, capsys, tmp_path
):
    run = respool.init(project="p", id="r", config={"lr": 1})
    daemon.status = {"runs": []}
    (tmp_path / "work" / "model.pt").write_bytes(b"12345")
    for step in range(3):
        run.log({"a": step})
    run.summary["best"] = 1
    run.save("model.pt", policy="now")
    shutil.rmtree(daemon.directory(), ignore_errors=True)
    run.finish()
    assert "kept     3 rows, 1 file" in said(capsys)[1]


def test_of_a_deleted_run_it_says_that_what_waits_is_for_nobody(daemon: FakeDaemon, capsys):
    run = respool.init(project="p", id="r")
    gone = "Run ada/p/r was deleted at the hub by ada."
    daemon.status = a_backlog(run.attempt_id)
    daemon.status["runs"][0] |= {"why": gone, "deleted": True}
    run.finish()
    lines = said(capsys)
    assert lines[2] == (
        f"respool:   waiting  4 records (2.0 KiB), 1 file (3.0 MiB) for nobody: {gone} "
        "`respool spool purge` removes what is here."
    )
    assert lines[3] == "respool:   see      respool status"


def test_a_daemon_that_does_not_answer_delays_the_receipt_by_a_second_at_most(
    daemon: FakeDaemon, capsys, monkeypatch
):
    monkeypatch.setattr(receipt, "ASK_SECONDS", 0.05)
    run = respool.init(project="p", id="r")
    daemon.mute = True
    run.log({"a": 1})
    run.finish()
    assert "waiting  for the daemon, which did not answer at the end" in "\n".join(said(capsys))


def test_a_job_that_ends_by_an_exception_gets_its_receipt_once(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("run p/r ended with exit code 1 after step 2") == 1
    assert done.stderr.count("kept     3 rows") == 1


def test_of_several_ranks_only_the_first_gives_a_receipt(capsys, monkeypatch):
    run = respool.init(project="p", id="r", mode="spool")
    capsys.readouterr()
    monkeypatch.setattr("respool.notices.quiet", True)
    run.finish()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("octets", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (3 << 30, "3.0 GiB")]
)
def test_sizes_have_three_digits_at_most(octets, text):
    assert receipt.size(octets) == text
