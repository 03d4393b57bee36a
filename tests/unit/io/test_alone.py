"""Who makes a file under a name of its own is alone at it, also where another has just renamed it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from respoold.io.alone import alone


def test_many_that_make_one_file_at_a_time_each_rename_a_whole_one(tmp_path: Path) -> None:
    target, part = tmp_path / "t", str(tmp_path / "t.part")

    def make(number: int) -> bytes:
        with alone(part):
            with open(part, "wb") as file:
                for _ in range(50):
                    file.write(b"%d," % number)
                    file.flush()
            os.replace(part, target)
        return target.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(make, range(40)))
    assert all(len(set(one.split(b",")[:-1])) == 1 for one in seen)
    assert all(len(one.split(b",")) == 51 for one in seen)
    assert os.listdir(tmp_path) == ["t"]


def test_nothing_is_left_where_nothing_came_of_it(tmp_path: Path) -> None:
    with alone(str(tmp_path / "t.part")):
        assert os.listdir(tmp_path) == ["t.part"]
    assert os.listdir(tmp_path) == []
