"""`sweep()` and `agent()`: make a sweep at the hub, and work on one with a function. Loaded when first used."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, NamedTuple

from respool import current, notices
from respool.apis.address import find
from respool.apis.hub import Hub
from respool.environment import read
from respool.errors import UsageError
from respool.plan import DEFAULT_PROJECT
from respool.sweeping.assignment import NAMES, Assignment, variables
from respool.sweeping.flapping import Flapping
from respool.sweeping.foreman import PATIENCE, Foreman
from respool.sweeping.path import Path, awaited, resolve
from respool.sweeping.renewal import Renewal

__all__ = ["agent", "sweep"]


def sweep(
    sweep: dict[str, Any] | Callable[[], dict[str, Any]],
    entity: str | None = None,
    project: str | None = None,
    prior_runs: Any = None,
) -> str:
    """Make a sweep of a configuration as W&B writes it; its id. Raises UsageError naming a key that cannot be,
    CommError where no hub answers.
    """
    config = sweep() if callable(sweep) else sweep
    if not isinstance(config, dict):
        raise UsageError(f"The sweep is {config!r:.60}. Pass a dict with method and parameters.")
    if prior_runs:
        notices.warn("prior_runs", "sweep(prior_runs=) has no effect here.")
    env = read(os.environ)
    entity = entity or config.get("entity") or env.entity or "-"
    project = project or config.get("project") or env.project or DEFAULT_PROJECT
    hub = Hub(find(None, None, os.environ))
    made = hub.ask("POST", Path(str(entity), str(project), "").url().rstrip("/"), {"config": config})
    path = Path(str(made["entity"]), str(made["project"]), str(made["sweep_id"]))
    notices.line(f"sweep {'/'.join(path)} made; work on it: respool agent {path.sweep_id}")
    return path.sweep_id


def agent(
    sweep_id: str,
    function: Callable[[], Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
    count: int | None = None,
    forward_signals: bool = False,  # noqa: ARG001 - W&B's signature: a function gets the signals of its process
) -> None:
    """Call `function` once for each run that the sweep gives this process, at most `count` times; in it init() begins
    or, with resume=True, continues that run, and run.config has what is tried. What it raises ends its run as
    failed, and the next one begins. A function that returns while a preemption is announced has not finished its run,
    unless it called finish() or mark_preempting(): the run goes out again, and this agent ends, for its machine goes.
    Raises AwayError when no hub answers for ten minutes, CommError for what waiting does not mend.
    """
    if function is None:
        raise UsageError("agent() needs a function to call. For a program: `respool agent SWEEP`.")
    env = read(os.environ)
    hub = Hub(find(None, None, os.environ))
    path = awaited(
        lambda: resolve(hub, sweep_id, entity or env.entity, project or env.project), PATIENCE, _pause
    )
    if path is None:
        return
    foreman = Foreman(hub, path, f"{socket.gethostname()}:{os.getpid()}", pause=_pause)
    flapping, done = Flapping(), 0
    while (count is None or done < count) and not flapping.given_up:
        work = foreman.next()
        if work is None:
            return
        done += 1
        begun = monotonic()
        ended = _call(function, foreman, work)
        foreman.report(work.lease, ended.code)
        if ended.preempted:
            notices.line(f"run {work.run_id} was preempted: it goes out again, and this agent ends")
            return
        flapping.ended(ended.code, monotonic() - begun)


def _pause(seconds: float) -> bool:
    sleep(seconds)
    return False


class _Ended(NamedTuple):
    """How a call ended: its exit code, as a process of its own would have had it."""

    code: int
    preempted: bool


def _call(function: Callable[[], Any], foreman: Foreman, work: Assignment) -> _Ended:
    if current.run is not None:
        current.run.finish()
    renewal = Renewal(foreman, work, _interrupter())
    try:
        with _told(work), renewal:
            function()
            code = 0
    except KeyboardInterrupt:
        code = 1
        if not renewal.stopped:
            _finish(code)
            foreman.report(work.lease, code)
            raise
        notices.line(f"run {work.run_id} was stopped by its sweep")
    except SystemExit as error:
        code = _exit_code(error.code)
    except Exception as error:  # noqa: BLE001 - it is the function's, and ends its run only
        import traceback  # noqa: PLC0415 - a function that works needs none

        traceback.print_exception(error)
        code = 1
    return _Ended(code, _finish(code))


def _interrupter() -> Callable[[], None]:
    """What raises KeyboardInterrupt in this thread. Not SIGINT: that is the main thread's, and is ignored in what a
    script starts with `&`.
    """
    thread, error = ctypes.c_ulong(threading.get_ident()), ctypes.py_object(KeyboardInterrupt)

    def interrupt() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)

    return interrupt


def _exit_code(said: Any) -> int:
    """As the interpreter takes it; a text is printed."""
    if said is None or isinstance(said, int):
        return int(said or 0)
    notices.line(str(said))
    return 1


def _finish(code: int) -> bool:
    """End the function's run as its process's end would, which is no word of the script's. Whether it was preempted."""
    run = current.run
    if run is None:
        return False
    preempted = run.preempting and not (run._marked and code == 0)
    run._end(code, "agent")
    return preempted


@contextmanager
def _told(work: Assignment) -> Iterator[None]:
    before = {name: os.environ.pop(name, None) for name in NAMES}
    os.environ.update(variables(work))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
