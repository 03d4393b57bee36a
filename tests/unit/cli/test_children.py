"""Processes of a command: ready lines, last words, and that nothing outlives the command."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from respoold.cli.children import Child
from respoold.cli.demo.stage import Stage, open_stage
from respoold.cli.errors import CommandError
from respoold.cli.household import own_environment

SLEEPER = "import time; print('noise'); print('ready at x', flush=True); time.sleep(600)"


def a_child(tmp_path: Path, script: str) -> Child:
    return Child("helper", [sys.executable, "-c", script], os.environ, str(tmp_path / "log"), str(tmp_path))


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Child]:
    child = a_child(tmp_path, SLEEPER)
    child.start()
    yield child
    child.kill()


def test_the_ready_line_is_found_behind_others(sleeper: Child) -> None:
    assert sleeper.wait_line("ready at ", 20.0) == "ready at x"
    assert sleeper.alive


def test_a_child_that_ends_instead_is_explained_by_its_last_words(tmp_path: Path) -> None:
    child = a_child(tmp_path, "import sys; print('the disk is on fire', file=sys.stderr); sys.exit(7)")
    child.start()
    with pytest.raises(CommandError, match="ended with exit code 7") as caught:
        child.wait_line("ready", 20.0)
    assert "the disk is on fire" in caught.value.advice


def test_a_child_that_is_never_ready_is_given_up_after_the_deadline(sleeper: Child) -> None:
    with pytest.raises(CommandError, match=r"was not ready within 0 s"):
        sleeper.wait_line("something else", 0.05)


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    script = "import signal; signal.signal(15, signal.SIG_IGN);" + SLEEPER
    child = a_child(tmp_path, script)
    child.start()
    child.wait_line("ready", 20.0)
    child.stop(0.05)
    assert child.code == -signal.SIGKILL
    assert child.end() == "was killed by SIGKILL"


def test_a_child_dies_with_the_command_however_the_command_dies(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys
from respoold.cli.children import Child
child = Child("helper", [sys.executable, "-c", {SLEEPER!r}], os.environ, {str(tmp_path / "log")!r}, ".")
child.start()
child.wait_line("ready", 20.0)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    pid = int(ended.stdout)
    deadline = time.monotonic() + 10.0
    while _runs(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_children_do_not_inherit_other_hubs_and_keys() -> None:
    kept = own_environment({"RESPOOL_API_KEY": "k", "WANDB_API_KEY": "k", "PATH": "/bin"})
    assert kept == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"}


def test_the_demo_lives_in_its_folder_and_in_no_schedulers_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with open_stage(None, 400, 50, print) as stage:
        folder = stage.folder
        inside = [value for name, value in stage.environ.items() if name.startswith("XDG_") or name == "HOME"]
        assert all(value.startswith(folder) for value in inside)
        assert len(inside) >= 5
        assert "SLURM_JOB_ID" not in stage.environ
        assert stage.places.sockets == [f"{folder}/respoold.sock"]
    assert not os.path.exists(folder)


def test_the_demo_cleans_up_after_an_error_and_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(Stage, "close", lambda stage: closed.append(stage.folder))
    for error in (KeyboardInterrupt, CommandError):
        with pytest.raises(error), open_stage(None, 400, 50, print):
            raise error(1, "x")
    assert len(closed) == 2
    assert not any(os.path.exists(folder) for folder in closed)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_demo_keeps_nothing_in_a_folder_that_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(CommandError, match="is not empty"), open_stage(str(tmp_path), 400, 50, print):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_log_is_continued_and_a_long_one_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = a_child(tmp_path, "import sys; print(sys.argv[0], 'ends'); sys.exit(7)")
    for life in range(1, 3):
        child.start()
        with pytest.raises(CommandError):
            child.wait_line("ready", 20.0)
        assert (tmp_path / "log").read_text().count("ends") == life
        assert len(child.lines()) == 1
    monkeypatch.setattr("respoold.cli.children.MAX_LOG", 3)
    child.start()
    with pytest.raises(CommandError):
        child.wait_line("ready", 20.0)
    assert (tmp_path / "log").read_text().count("ends") == 1
    assert (tmp_path / "log.1").read_text().count("ends") == 2
