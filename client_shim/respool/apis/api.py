"""`Api`: the door to what the hub knows."""

from __future__ import annotations

import os
from typing import Any

from respool.apis.address import find
from respool.apis.hub import Hub, run_url
from respool.apis.run import Run
from respool.apis.runs import Runs
from respool.compat import absent
from respool.environment import read
from respool.errors import UsageError


class Api:
    """Asks the hub of RESPOOL_HUB_URL, of `overrides={"base_url": ...}`, else the daemon's. `overrides` may name
    "entity" and "project" for paths that leave them out; `timeout` is in seconds. Raises CommError where no hub
    answers, UsageError for what cannot be asked so, FileNotFoundError for what the hub does not know.
    """

    def __init__(
        self,
        overrides: dict[str, Any] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
    ) -> None:
        given = overrides or {}
        env = read(os.environ)
        self._project = given.get("project") or env.project
        self._entity = given.get("entity") or env.entity
        self._hub = Hub(find(given.get("base_url"), api_key, os.environ), timeout)

    @property
    def default_entity(self) -> str:
        """The entity of the key."""
        return self._entity or str(self._hub.get("/v1/me").get("entity"))

    @property
    def viewer(self) -> dict[str, Any]:
        """Who the key is: user, entity, scopes."""
        return self._hub.get("/v1/me")

    def run(self, path: str = "") -> Run:
        """A run by its path: [entity/][project/]id. Raises FileNotFoundError."""
        entity, project, run_id = self._split(path, 3)
        if not run_id or not project:
            raise UsageError(f"The path {path!r} names no run. Write entity/project/id or project/id.")
        return Run(self._hub, self._hub.get(run_url(entity or "-", project, run_id)))

    def runs(
        self,
        path: str | None = None,
        filters: dict[str, Any] | None = None,
        order: str = "+created_at",
        per_page: int = 50,  # noqa: ARG002 - W&B's signature, as what follows
        include_sweeps: bool = True,  # noqa: ARG002 - as above
        lazy: bool = True,  # noqa: ARG002 - as above
    ) -> Runs:
        """The runs of a project, [entity/]project, that match `filters`, e.g. {"state": "finished",
        "config.lr": {"$gt": 0.1}}; sorted by `order`, e.g. "-summary_metrics.acc".
        """
        entity, project, _ = self._split(path or "", 2)
        if not project:
            raise UsageError(f"The path {path!r} names no project. Write entity/project or project.")
        return Runs(self._hub, entity, project, filters or {}, order)

    def artifact(self, name: str, type: str | None = None) -> Any:  # noqa: A002, ARG002 - W&B's signature
        """An artifact by its name, [entity/]project/NAME[:ALIAS], among what the project's runs logged."""
        from respool.artifacts.remote import found_by  # noqa: PLC0415 - only for who asks

        path, _, last = name.rpartition("/")
        entity, project, _ = self._split(path, 2)
        if not project:
            raise UsageError(f"The artifact {name!r} names no project. Write project/NAME:ALIAS.")
        return found_by(
            self.runs("/".join(part for part in (entity, project) if part), order="-created_at"), last
        )

    def flush(self) -> None:
        """Nothing is remembered that would have to be forgotten: a new object asks anew."""

    def _split(self, path: str, parts: int) -> tuple[str | None, str | None, str]:
        given = [part for part in str(path).strip("/").split("/") if part and part != "runs"]
        if len(given) > parts:
            raise UsageError(f"The path {path!r} has {len(given)} parts. Write at most {parts}.")
        run_id = given.pop() if parts == 3 and given else ""
        project = given.pop() if given else self._project
        return (given.pop() if given else self._entity), project, run_id

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return absent(f"Api().{name}")
