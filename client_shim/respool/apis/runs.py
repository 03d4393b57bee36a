"""The runs of a project, as the Api sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from respool import notices
from respool.apis.filters import matches, ordered
from respool.apis.hub import Hub
from respool.apis.run import Run

MOST = 1000
"""Runs that a hub lists at once: those active last."""


class Runs(Sequence[Run]):
    """A sequence of runs, asked for when first looked at. Filters and orders by config or summary ask for each
    run of the project once.
    """

    def __init__(
        self, hub: Hub, entity: str | None, project: str, filters: dict[str, Any], order: str
    ) -> None:
        self._hub = hub
        self._where = (entity, project)
        self._filters = filters
        self._order = order
        self._found: list[Run] | None = None

    def _all(self) -> list[Run]:
        if self._found is None:
            entity, project = self._where
            listed = self._hub.get("/v1/runs", entity=entity, project=project, limit=MOST).get("runs", [])
            if len(listed) >= MOST:
                notices.warn(
                    "api runs", f"project {project} has {MOST} runs or more; the {MOST} active last are seen."
                )
            runs = [Run(self._hub, one) for one in listed]
            chosen = [run for run in runs if matches(run, self._filters)]
            self._found = ordered(chosen, self._order)
        return self._found

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...

    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        return self._all()[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._all())

    def __repr__(self) -> str:
        return f"<respool runs of {self._where[1]}>"
