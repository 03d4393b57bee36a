"""Where an agent gets its work: asks the hub, keeps its leases alive, tells how its runs ended.

A hub that is away costs nothing but time: what is at work goes on, a question that was not answered is asked again
under the same name, so that nothing is taken twice. After `patience` seconds an agent that has no work gives up
rather than hold its machine idle.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from respool import notices
from respool.apis.hub import Hub
from respool.errors import AwayError, CommError, UsageError
from respool.sweeping.assignment import Assignment, read
from respool.sweeping.path import Path
from respool.sweeping.waits import Waits

PATIENCE = 600.0


class Foreman:
    """The hub as one agent sees it. `pause` waits so many seconds, and says whether the agent is to end."""

    def __init__(
        self, hub: Hub, path: Path, agent: str, *, patience: float = PATIENCE, pause: Callable[[float], bool]
    ) -> None:
        self._hub, self._path, self._agent = hub, path, agent
        self._patience, self._pause = patience, pause

    def next(self) -> Assignment | None:
        """The next thing to do; None when there is none any more, with a line that says why. Raises AwayError after
        `patience` without a hub, CommError and UsageError for what waiting does not mend.
        """
        lease, waits = secrets.token_hex(16), Waits(self._patience)
        asked = {"lease": lease, "agent": self._agent}
        while True:
            try:
                answer = self._ask("work", asked, {"work", "wait", "over"})
            except AwayError as error:
                if waits.over("away"):
                    raise AwayError(f"{error} Gave up after {self._patience:.0f} s.") from error
                notices.warn("agent away", f"{error} Asking again for {self._patience:.0f} s.")
            else:
                if "work" in answer:
                    return read(answer, self._path.sweep_id)
                if "over" in answer or waits.over("idle"):
                    why = (
                        answer.get("over") or f"{answer.get('wait')}; nothing came for {self._patience:.0f} s"
                    )
                    notices.line(f"sweep {self._path.sweep_id}: {why}")
                    return None
            if self._pause(waits.pause()):
                return None

    def orders(self, lease: str) -> str:
        """Renew it: "go" on, "stop" it, or "lost": it is another's. A hub that is away changes nothing."""
        try:
            answer = self._hub.ask("POST", self._path.url("leases"), {"leases": [lease]})
        except (CommError, UsageError, FileNotFoundError):
            return "go"
        orders = answer.get("orders")
        return str(orders.get(lease, "go")) if isinstance(orders, dict) else "go"

    def report(self, lease: str, code: int) -> None:
        """How its process ended, negative for a signal. Raises AwayError after `patience` without a hub."""
        self._tell("reports", {"lease": lease, "code": code})

    def give_back(self, lease: str) -> None:
        """Its process cannot be started here: others get it. Raises AwayError after `patience` without a hub."""
        self._tell("returns", {"lease": lease})

    def _tell(self, what: str, body: dict[str, Any]) -> None:
        waits = Waits(self._patience)
        while True:
            try:
                self._ask(what, body, {"lease"})
            except AwayError:
                if waits.over("away"):
                    raise
                if self._pause(waits.pause()):
                    return
            else:
                return

    def _ask(self, what: str, body: dict[str, Any], known: set[str]) -> dict[str, Any]:
        """An answer with one of the `known` keys. Raises AwayError for another: a proxy's page may be JSON, too."""
        answer = self._hub.ask("POST", self._path.url(what), body)
        if known.isdisjoint(answer):
            raise AwayError("What answers for the hub is no respool hub.")
        return answer
