"""What a job did between two looks at its machine."""

from typing import Any

import pytest

from respoold.core.load import Gpu, Look, Running, family, sample


def a_look(at: float, *running: Running, counters: dict[str, float] | None = None, **more: Any) -> Look:
    return Look(at, {one.pid: one for one in running}, counters or {}, more.pop("memory", None), **more)


def process(pid: int, parent: int, cpu: float = 0.0, rss: int = 0, began: int = 0) -> Running:
    return Running(pid, parent, began, cpu, rss)


def test_a_family_is_the_roots_and_all_that_they_started() -> None:
    tree = [process(1, 0), process(10, 1), process(11, 10), process(12, 11), process(20, 1), process(21, 20)]
    running = {one.pid: one for one in tree}
    assert family(running, [10]) == {10, 11, 12}
    assert family(running, [10, 21, 99]) == {10, 11, 12, 21}


def test_cpu_and_memory_are_those_of_the_family() -> None:
    before = a_look(100.0, process(10, 1, 5.0), process(11, 10, 1.0), process(20, 1, 0.0))
    after = a_look(110.0, process(10, 1, 15.0, 1000), process(11, 10, 3.5, 500), process(20, 1, 9.0, 7))
    assert sample(before, after, [10]) == {"cpu": 125.0, "rss": 1500, "processes": 2}


def test_a_process_with_the_pid_of_another_starts_from_nothing() -> None:
    before = a_look(0.0, process(10, 1, 50.0, began=1))
    after = a_look(10.0, process(10, 1, 2.0, began=2))
    assert sample(before, after, [10])["cpu"] == 20.0


def test_a_job_that_is_gone_and_counters_that_went_back_are_nothing() -> None:
    before = a_look(0.0, counters={"net_in": 100.0, "cpu_all": 10.0, "cpu_busy": 5.0})
    after = a_look(10.0, counters={"net_in": 50.0, "cpu_all": 30.0, "cpu_busy": 10.0, "disk_read": 9.0})
    found = sample(before, after, [10])
    assert (found["cpu"], found["processes"], found["net_in"], found["disk_read"]) == (0, 0, 0, 0)
    assert found["node_cpu"] == 25.0


@pytest.mark.parametrize(
    ("users", "indexes"), [(({10: 5}, {}), [0.0]), (({}, {11: 7}), [1.0]), (({77: 5}, {78: 7}), [0.0, 1.0])]
)
def test_gpus_are_the_jobs_or_all_where_the_driver_names_strangers(
    users: tuple[dict[int, int], ...], indexes: list[float]
) -> None:
    gpus = tuple(Gpu(f"u{at}", {"index": float(at)}, held) for at, held in enumerate(users))
    look = a_look(1.0, process(10, 1), process(11, 10), gpus=gpus)
    found = sample(look, look, [10])["gpus"]
    assert [gpu["index"] for gpu in found] == indexes
    held = [size for one in users for pid, size in one.items() if pid < 77]
    assert [gpu["job_memory"] for gpu in found if "job_memory" in gpu] == held
