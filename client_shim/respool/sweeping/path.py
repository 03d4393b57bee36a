"""Which sweep a text names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from respool import notices
from respool.apis.hub import Hub
from respool.errors import AwayError, UsageError
from respool.sweeping.waits import Waits


class Path(NamedTuple):
    """A sweep's whole name."""

    entity: str
    project: str
    sweep_id: str

    def url(self, *rest: str) -> str:
        """Its path at the hub, or of something below it."""
        return "/".join(["/v1/sweeps", *(quote(part, safe="") for part in self), *rest])


def awaited(found: Callable[[], Path], patience: float, pause: Callable[[float], bool]) -> Path | None:
    """What `found` finds, asked again while the hub is away; None when `pause` says that the agent is to end. Raises
    AwayError after `patience` seconds.
    """
    waits = Waits(patience)
    while True:
        try:
            return found()
        except AwayError as error:
            if waits.over("away"):
                raise AwayError(f"{error} Gave up after {patience:.0f} s.") from error
            notices.warn("agent away", f"{error} Asking again for {patience:.0f} s.")
        if pause(waits.pause()):
            return None


def resolve(hub: Hub, text: str, entity: str | None = None, project: str | None = None) -> Path:
    """The sweep that `[[ENTITY/]PROJECT/]ID` names. Raises FileNotFoundError, UsageError for several."""
    parts = text.split("/")
    if not all(parts) or len(parts) > len(Path._fields):
        raise UsageError(f"{text!r:.80} names no sweep. Write ID, PROJECT/ID or ENTITY/PROJECT/ID.")
    sweep_id = parts[-1]
    project = parts[-2] if len(parts) > 1 else project
    entity = parts[0] if len(parts) == len(Path._fields) else entity
    listed: Any = hub.get("/v1/sweeps", project=project, sweep_id=sweep_id).get("sweeps") or []
    paths = [Path(one["entity"], one["project"], one["sweep_id"]) for one in listed]
    found = [path for path in paths if entity in {None, path.entity}]
    if not found:
        raise FileNotFoundError(
            f"There is no sweep {text!r:.80} at {hub.address.url}. See `respool sweep --list`."
        )
    if len(found) > 1:
        raise UsageError(
            f"{text!r} is the name of {len(found)} sweeps. Write {' or '.join(map('/'.join, found))}."
        )
    return found[0]
