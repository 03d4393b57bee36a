"""respool: training runs that survive. `import respool`, or `import respool as wandb`.

    run = respool.init(project="mnist", id="baseline", resume="allow", config={"lr": 0.1})
    for step in range(run.step, 1000):
        run.log({"loss": train()})
    run.finish()

`log` is one write into a spool file that outlives this process; a daemon, or `respool sync`, sends it to the
hub. `init` and `restore` may raise; nothing else does, unless `Settings(strict=True)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from respool import compat, current, notices, util
from respool.errors import CommError, Error, RecordLostError, Superseded, UsageError
from respool.version import __version__

if TYPE_CHECKING:
    from respool.config_map import Config
    from respool.run_handle import Run
    from respool.settings import Settings
    from respool.summary_map import Summary

    run: Run | None
    config: Config
    summary: Summary

__all__ = [
    "CommError",
    "Error",
    "RecordLostError",
    "Run",
    "Settings",
    "Superseded",
    "UsageError",
    "__version__",
    "config",
    "define_metric",
    "finish",
    "flush",
    "init",
    "log",
    "login",
    "mark_preempting",
    "restore",
    "rewind",
    "run",
    "save",
    "status",
    "summary",
    "util",
]


def init(
    project: str | None = None,
    entity: str | None = None,
    id: str | None = None,  # noqa: A002 - W&B's name for it
    name: str | None = None,
    resume: bool | str | None = None,
    config: Any = None,
    tags: Any = None,
    notes: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    dir: Any = None,  # noqa: A002 - W&B's name for it
    reinit: bool | str | None = None,
    settings: Any = None,
    join: bool = False,
    takeover: bool = False,
    on_superseded: str = "warn",
    **foreign: Any,
) -> Run:
    """Begin or continue a run, and make it the current one.

    `resume`: None starts over, "allow" continues the run if it exists, "must" insists on it, "never" forbids
    it, True or "auto" continues what this job, or this script in this folder, left unfinished. `mode`: "online"
    (a daemon, else the local spool), "spool" or "offline" (no daemon), "disabled" (keep nothing). `join=True` logs
    into the run's live attempt as a further writer, from anywhere (an evaluator); `takeover=True` takes a run over
    from a process that may still be alive; `on_superseded="stop"` raises Superseded out of log() once another
    attempt took over. Other arguments of W&B have no effect.

    Raises UsageError, a ValueError, for what cannot be done as asked; nothing was begun then.
    """
    from respool.starting import start  # noqa: PLC0415 - the price is paid by init(), not by the import

    arguments = {key: value for key, value in locals().items() if key not in {"foreign", "start"}}
    return start(arguments, foreign)


def log(
    data: dict[str, Any],
    step: int | None = None,
    commit: bool | None = None,
    sync: bool | None = None,  # noqa: ARG001 - W&B's signature
) -> None:
    """Keep one row of the current run: see Run.log."""
    active = current.run
    if active is None:
        _without("log()")
    else:
        active.log(data, step, commit)


def define_metric(name: str, step_metric: Any = None, *options: Any, **more: Any) -> Any:
    """See Run.define_metric."""
    if current.run is not None:
        return current.run.define_metric(name, step_metric, *options, **more)
    _without("define_metric()")
    return None


def save(
    glob_str: Any = None, base_path: Any = None, policy: str = "live", *, glob: bool = True
) -> list[str] | bool:
    """Keep a version of files of the current run: see Run.save."""
    if current.run is None:
        _without("save()")
        return False
    return current.run.save(glob_str, base_path, policy, glob=glob)


def restore(
    name: str, run_path: str | None = None, replace: bool = False, root: str | None = None
) -> BinaryIO:
    """A file's newest version, opened for reading bytes: see Run.restore."""
    if current.run is None:
        raise UsageError(f"restore({name!r}) needs a run to restore for. Call init() first.")
    return current.run.restore(name, run_path, replace, root)


def rewind(step: int) -> bool:
    """The history of the current run continues at `step`: see Run.rewind."""
    if current.run is None:
        _without("rewind()")
        return False
    return current.run.rewind(step)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """End the current run: see Run.finish."""
    if current.run is not None:
        current.run.finish(exit_code, quiet)


def mark_preempting() -> None:
    """Say that this process will be preempted: see Run.mark_preempting."""
    if current.run is None:
        _without("mark_preempting()")
    else:
        current.run.mark_preempting()


def flush(timeout: float | None = None, hub: bool = True) -> bool:
    """Wait until everything logged is at the hub: see Run.flush."""
    return current.run is not None and current.run.flush(timeout, hub)


def status() -> dict[str, Any]:
    """What is kept and why it is still here: see Run.status."""
    return {"daemon": None, "runs": []} if current.run is None else current.run.status()


def login(*_: Any, **__: Any) -> bool:
    """Does nothing: keys belong to the daemon. `respool login` gives it one."""
    notices.warn(
        "login", "login() has no effect: the daemon holds the key. Run `respool login` once in a shell."
    )
    return True


def termlog(string: str = "", **_: Any) -> None:
    """Print a line as respool's own."""
    notices.line(string)


termwarn = termerror = termlog


def setup(*_: Any, **__: Any) -> None:
    """Does nothing: there is no service to start."""


ensure_configured = require = termsetup = setup


def teardown(exit_code: int | None = None) -> None:
    """End every run of this process, the newest first."""
    for each in reversed(current.open_runs()):
        each.finish(exit_code)


_OF_RUN = frozenset(
    {
        "alert",
        "link_artifact",
        "link_model",
        "log_artifact",
        "log_model",
        "on_preempt",
        "unwatch",
        "upsert_artifact",
        "use_artifact",
        "use_model",
        "watch",
    }
)
"""Functions that are methods of the current run, with its signature."""

_ELSEWHERE = {
    "AlertLevel": "respool.alerts",
    "Api": "respool.apis",
    "Artifact": "respool.artifacts",
    "Audio": "respool.media",
    "Histogram": "respool.media",
    "Html": "respool.media",
    "Image": "respool.media",
    "Molecule": "respool.media",
    "Object3D": "respool.media",
    "Plotly": "respool.media",
    "Table": "respool.media",
    "Video": "respool.media",
    "WandbCallback": "respool.keras",
    "agent": "respool.sweeping",
    "plot_table": "respool.plot",
    "sweep": "respool.sweeping",
}
"""Names whose module is loaded when a script first uses them."""

_MODULES = frozenset(
    {"apis", "data_types", "env", "errors", "integration", "keras", "plot", "sdk", "wandb_run"}
)
"""Modules that are loaded when they are first named, and stand-ins where what they need is not installed."""


def _of_run(name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        if current.run is not None:
            return getattr(current.run, name)(*args, **kwargs)
        if name in {"use_artifact", "use_model"}:
            raise UsageError(f"{name}() needs a run to use it for. Call init() first.")
        _without(f"{name}()")
        return None

    call.__name__ = name
    return call


def _without(called: str, what: str = "is dropped") -> None:
    again = "Call respool.init() again" if current.ended else "Call respool.init() first"
    when = f"after run {current.ended} was finished" if current.ended else "before init()"
    notices.misused(f"no run {called}", f"{called} {when} {what}", again.replace("C", "c"), again)


def __getattr__(name: str) -> Any:
    match name:
        case "run":
            return current.run
        case "config" | "summary":
            return _map_of(name)
        case "Run":
            from respool.run_handle import Run  # noqa: PLC0415 - as in init()

            return Run
        case "Config":
            from respool.config_map import Config  # noqa: PLC0415 - as in init()

            return Config
        case "Settings":
            from respool.settings import Settings  # noqa: PLC0415 - as in init()

            return Settings
    if name in _OF_RUN:
        return _of_run(name)
    if name in _ELSEWHERE or name in _MODULES:
        from importlib import import_module  # noqa: PLC0415 - as in init()

        try:
            found = import_module(_ELSEWHERE.get(name) or f"respool.{name}")
        except ImportError:
            return compat.absent(name)
        return found if name in _MODULES else getattr(found, name)
    if name in compat.NAMES:
        return compat.absent(name)
    raise AttributeError(f"module 'respool' has no attribute {name!r}")


def _map_of(name: str) -> Any:
    if current.run is not None:
        return getattr(current.run, name)
    _without(f"respool.{name}", "is not kept")
    from respool.config_map import Config  # noqa: PLC0415 - as in init()

    return Config({}, lambda *_: None)
