"""Samples of the load end with the job, whenever they are due."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from respoold.tasks.reaper import watch_processes
from respoold.tasks.system import sample_forever
from unit.tasks.kit import People, a_keeper, granted, people, until


@pytest.fixture
def folk() -> Iterator[People]:
    with people() as made:
        yield made


async def test_a_sample_that_is_due_while_a_process_s_end_is_looked_into_brings_nobody_back(
    folk: People, tmp_path: Path
) -> None:
    asked = folk.ask(system=True)
    async with a_keeper(str(tmp_path), system_period=0.02) as keeper:
        attempt = (await granted(keeper, asked)).attempt
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_processes, keeper)
            nursery.start_soon(sample_forever, keeper)
            with trio.fail_after(10):
                await until(lambda: len(attempt.writers) > 1)
                # Nobody waits for it: how it ended is asked for again and again.
                os.kill(asked.pid, signal.SIGKILL)
                await until(lambda: not attempt.alive)
            await trio.sleep(0.1)
            assert not attempt.alive
            assert len(attempt.writers) == 2
            nursery.cancel_scope.cancel()
