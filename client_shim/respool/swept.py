"""init() in a run of a sweep: the sweep says which run it is and what is tried; what the script says of that yields.

As W&B does: a script written with its own id or project serves in a sweep unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from respool import notices
from respool.errors import UsageError

_SWEEP, _PARAMETERS = "RESPOOL_SWEEP_ID", "RESPOOL_SWEEP_PARAMETERS"
_NAMES = {"id": "RESPOOL_RUN_ID", "project": "RESPOOL_PROJECT", "entity": "RESPOOL_ENTITY"}


def named(arguments: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of init(), without names in a sweep: the environment has them."""
    if not environ.get(_SWEEP):
        return arguments
    return {**arguments, **dict.fromkeys(_NAMES)}


def say(arguments: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Which names yielded to others."""
    if not environ.get(_SWEEP):
        return
    told = {name: arguments.get(name) for name in _NAMES}
    gone = [
        name for name, value in told.items() if value is not None and str(value) != environ.get(_NAMES[name])
    ]
    if gone:
        notices.warn("sweep", f"in a sweep init() does not decide {', '.join(gone)}: the sweep does.")


def parameters(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the sweep wants tried; empty outside of one. Raises UsageError for what no agent has written."""
    text = environ.get(_PARAMETERS) if environ.get(_SWEEP) else None
    if not text:
        return {}
    import json  # noqa: PLC0415 - a run outside of sweeps does without

    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            f"{_PARAMETERS} is {text!r:.60}, which is no JSON object. An agent sets it: respool agent."
        )
    return found
