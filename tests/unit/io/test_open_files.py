"""Who writes to a file: another process counts, a reader does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from respoold.io.open_files import written as written_files
from respoold.io.processes import sees_as_we


def is_written(path: str) -> bool:
    status = os.stat(path)
    return (status.st_dev, status.st_ino) in written_files()


HOLDER = "import sys; f = open(sys.argv[1], sys.argv[2]); print('open', flush=True); sys.stdin.read()"


@pytest.mark.parametrize(("mode", "written"), [("rb", False), ("ab", True), ("r+b", True)])
def test_another_process_that_may_write_to_it_counts(tmp_path: Path, mode: str, written: bool) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    words = [sys.executable, "-c", HOLDER, str(path), mode]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert is_written(str(path)) is written
        link = tmp_path / "link"
        link.symlink_to(path)
        assert is_written(str(link)) is written
        process.communicate(b"")
    assert not is_written(str(path))


def test_a_process_of_this_place_sees_as_we_do_and_one_that_is_gone_does_not() -> None:
    assert sees_as_we(os.getpid())
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert not sees_as_we(process.pid)
