"""Who may do what: the caller behind a key, and the three questions asked of it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from respool_hub.service.refusal import refuse
from respool_hub.store.ports import Reader
from respool_hub.store.rows import AttemptRow, RunRow


class Scope(IntEnum):
    """What a key allows; each includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


class Caller(NamedTuple):
    """Who asks. `project`: the only one this key is good for (None: all)."""

    user: str
    scope: Scope
    project: str | None
    key_id: str

    @property
    def admin(self) -> bool:
        return self.scope is Scope.ADMIN


def allow(caller: Caller, scope: Scope) -> None:
    """Raises RefusalError "forbidden" unless the key has at least this scope."""
    if caller.scope < scope:
        raise refuse(
            "forbidden",
            f"Key {caller.key_id} of {caller.user} may {caller.scope.name.lower()}, not {scope.name.lower()}.",
            f"Use a key with the scope {scope.name.lower()}: respool key create.",
        )


def allow_project(caller: Caller, entity: str, project: str | None) -> None:
    """Raises RefusalError "forbidden" unless the caller may look at this project."""
    if entity != caller.user and not caller.admin:
        raise refuse(
            "forbidden",
            f"{caller.user} may not see what belongs to {entity!r}.",
            "Ask its owner, or use an admin's key.",
        )
    if caller.project is not None and project != caller.project:
        raise refuse(
            "forbidden",
            f"Key {caller.key_id} is good for project {caller.project!r} only, not for {project!r}.",
            "Use a key without a project.",
        )


def own_run(caller: Caller, run: RunRow) -> None:
    """Raises RefusalError "forbidden" unless the caller may write to this run."""
    if run.owner != caller.user and not caller.admin:
        raise refuse(
            "forbidden",
            f"Run {run.entity}/{run.project}/{run.run_id} belongs to {run.owner}, not to {caller.user}.",
            "Use another run id, or its owner's key.",
        )
    if caller.project is not None:
        allow_project(caller, run.entity, run.project)


def own_attempt(reader: Reader, caller: Caller, attempt_id: str) -> tuple[AttemptRow, RunRow]:
    """The attempt and its run. Raises RefusalError "unknown-attempt" or "forbidden"."""
    attempt = reader.attempt(attempt_id)
    if attempt is None:
        raise refuse(
            "unknown-attempt",
            f"Attempt {attempt_id[:64]!r} is not registered here.",
            "Attach it first, then send again.",
        )
    run = reader.run_of(attempt.run)
    own_run(caller, run)
    return attempt, run
