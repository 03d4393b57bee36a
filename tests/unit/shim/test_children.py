"""Children of a process that has a run: forked, spawned, workers of a pool, of a data loader."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fakes.daemon import frames_in
from respool.spool_history import attempts_of
from respool.wire import codec
from respool.wire.frames import Kind
from respool.wire.identity import FIRST_JOINED

SCRIPT = """
import multiprocessing, os, sys
import respool

def child(number):
    run = respool.init(project="p", id="r", mode="spool", config={{"child": number}})
    run.log({{"child": number}})
    if number == 2:
        sys.exit(3)
    if number == 3:
        raise RuntimeError("as told")

def silent(number):
    respool.log({{"dropped": number}})
    return number

if __name__ == "__main__":
    run = respool.init(project="p", id="r", mode="spool")
    run.log({{"parent": 1}})
    context = multiprocessing.get_context({method!r})
    children = [context.Process(target=child, args=(number,)) for number in range(4)]
    for each in children:
        each.start()
    for each in children:
        each.join()
    with context.Pool(2) as pool:
        assert pool.map(silent, range(8)) == list(range(8))
    run.log({{"parent": 2}})
    assert [each.exitcode for each in children] == [0, 0, 3, 1]
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_that_begin_the_same_run_are_further_writers_of_it(spool, method):
    with open("train.py", "w") as file:
        file.write(SCRIPT.format(method=method))
    done = subprocess.run([sys.executable, "train.py"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (found,) = attempts_of([spool], "p", "r", None)
    slots = [writer.writer for writer in found.writers]
    assert slots[0] == 0
    assert len(slots) == 5
    assert all(slot >= FIRST_JOINED for slot in slots[1:])
    frames = frames_in(found.directory)
    rows = sorted(
        str(sorted(codec.unpack(frame.payload).items())) for frame in frames if frame.kind == Kind.ROW
    )
    expected = [[("child", number)] for number in range(4)] + [[("parent", 1)], [("parent", 2)]]
    assert rows == sorted(map(str, expected))
    ends = [codec.unpack(frame.payload) for frame in frames if frame.kind == Kind.STATE]
    assert sorted(end["exit_code"] for end in ends) == [0, 0, 0, 1, 3]
    assert found.ended == set(slots)


def test_workers_of_a_data_loader_neither_log_nor_end_the_run(spool):
    pytest.importorskip("torch")
    code = """
import torch, respool
class Numbers(torch.utils.data.Dataset):
    def __len__(self): return 8
    def __getitem__(self, at):
        respool.log({"dropped": at})
        return at
if __name__ == "__main__":
    run = respool.init(project="p", id="r", mode="spool")
    for batch in torch.utils.data.DataLoader(Numbers(), num_workers=2, batch_size=2):
        run.log({"sum": int(batch.sum())})
"""
    with open("train.py", "w") as file:
        file.write(code)
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "train.py"], env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (found,) = attempts_of([spool], "p", "r", None)
    kinds = [frame.kind for frame in frames_in(found.directory)]
    assert kinds == [Kind.SNAPSHOT, *[Kind.ROW] * 4, Kind.STATE]
    assert found.view.exit_code == 0
