"""init(): attach, open the run, say so."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from respool import current, notices, swept
from respool.attaching import attach, renewal
from respool.config_map import mapping_of
from respool.config_room import ConfigRoom
from respool.errors import UsageError
from respool.keeper import Keeper
from respool.plan import Plan, plan_of
from respool.run_handle import Run
from respool.settings import settings_of
from respool.version import __version__

if TYPE_CHECKING:
    from respool.state_file import StateFile

_CLIENT = f"respool {__version__}"
_CREATE_NEW = "create_new"
_REINIT = {
    False: "return_previous",
    True: "finish_previous",
    "return_previous": "return_previous",
    "finish_previous": "finish_previous",
    _CREATE_NEW: _CREATE_NEW,
}
_IGNORED = frozenset(
    {"config_exclude_keys", "config_include_keys", "allow_val_change", "save_code", "anonymous"}
)


def start(arguments: dict[str, Any], foreign: dict[str, Any]) -> Run:
    """What `respool.init` does. Raises UsageError, with nothing left behind."""
    _settle_foreign(foreign)
    reinit = _reinit_of(arguments)
    previous = current.run
    if previous is not None and previous.inherited:
        current.leave(previous)
    elif previous is not None:
        if reinit == "finish_previous":
            previous.finish()
        elif reinit != _CREATE_NEW:
            return _already(previous, arguments)
    given = swept.named(arguments, os.environ)
    plan = plan_of(given, os.environ)
    notices.silent, notices.strictly = plan.silent, bool(plan.place.settings.strict)
    notices.forget()
    swept.say(arguments, os.environ)
    config, wanted = _config_of(arguments, foreign), swept.parameters(os.environ)
    if notices.strictly:
        ConfigRoom({}, strict=True).take({**config, **wanted})
    keeper, state_file = attach(plan, _CLIENT)
    run = _open(plan, keeper, state_file, meant=reinit != _CREATE_NEW)
    if config or wanted:
        try:
            run.update_config({**config, **wanted})
        except UsageError:  # Too much, together with what was resumed.
            run.finish(1)
            raise
    if wanted:
        run.sweep_id = os.environ.get("RESPOOL_SWEEP_ID")
        run.config.lock(wanted, "the sweep")
    _announce(run, keeper)
    return run


def _reinit_of(arguments: dict[str, Any]) -> str:
    """What becomes of a run that is going on. Raises UsageError."""
    given = arguments["reinit"]
    if given is None:
        given = settings_of(arguments["settings"]).reinit
    if given is None or given == "default":
        return "finish_previous" if _in_notebook() else "return_previous"
    try:
        return _REINIT[given]
    except (KeyError, TypeError):
        known = "True, False, 'default', 'return_previous', 'finish_previous' or 'create_new'"
        raise UsageError(f"reinit is {given!r:.80}, which means nothing here. Pass {known}.") from None


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, where the cell that calls init() is run again and means a new run."""
    find = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return find is not None and getattr(find(), "kernel", None) is not None


def _open(plan: Plan, keeper: Keeper, state_file: StateFile | None, *, meant: bool) -> Run:
    def ended(run: Run, done: bool) -> None:
        run.hooks.remove()
        current.leave(run)
        if state_file is not None and done:
            state_file.release(run.id)

    # What the call passes wins over what was kept; what it does not pass stays as it was.
    keeper.attached = keeper.attached._replace(meta={**keeper.attached.meta, **plan.meta})
    run = Run(keeper, plan.place, renewal(plan, keeper, _CLIENT), ended)
    run.hooks.install()
    current.enter(run, meant=meant)
    run.listen()
    if plan.place.settings.handle_sigterm:
        import signal  # noqa: PLC0415 - few ask for it

        run.on_preempt(signals=(signal.SIGTERM,))
    return run


def _config_of(arguments: dict[str, Any], foreign: dict[str, Any]) -> dict[str, Any]:
    config = mapping_of(arguments["config"])
    include, exclude = foreign.get("config_include_keys"), foreign.get("config_exclude_keys")
    return {
        key: value
        for key, value in config.items()
        if (not include or key in include) and (not exclude or key not in exclude)
    }


def _settle_foreign(foreign: dict[str, Any]) -> None:
    for name in ("resume_from", "fork_from"):
        if foreign.get(name) is not None:
            raise UsageError(
                f"{name}={foreign[name]!r:.60} is not supported. Use resume='allow' with the run's id, then "
                "run.rewind(step)."
            )
    unknown = sorted(name for name, value in foreign.items() if value is not None and name not in _IGNORED)
    if unknown:
        notices.warn("arguments", f"init() arguments without effect here: {', '.join(unknown)}")


def _already(previous: Run, arguments: dict[str, Any]) -> Run:
    asked = arguments["id"]
    if arguments["resume"] == "must" and asked not in {None, previous.id}:
        raise UsageError(
            f"Run {previous.path} is going on, so {asked!r} cannot be resumed. Call finish(), or pass reinit=True."
        )
    notices.warn(
        "reinit", f"run {previous.path} is going on and is what init() returns; pass reinit=True to end it."
    )
    return previous


def _announce(run: Run, keeper: Keeper) -> None:
    if run.disabled:
        return
    resumed = f", resumed at step {run.starting_step}" if run.resumed else ""
    attempt = f"attempt {run.attempt}" if run.attempt is not None else f"attempt {run.attempt_id[:8]}"
    parts = [f"run {run.path} ({attempt}{resumed})"]
    if keeper.tether is not None:
        parts.append(f"daemon {keeper.tether.path}")
    if keeper.attached.directory:
        parts.append(f"spool {keeper.attached.directory}")
    if run.url:
        parts.append(run.url)
    notices.line(" · ".join(parts))
    for line in keeper.attached.lines:
        notices.line(line)
