"""Who may do what: the caller behind a key or a token, and the questions asked of it.

What a caller may not see does not exist for it: a run of others, an attempt of others and an entity of others
answer as if they were not there, so that nobody learns names by asking. "Forbidden" is said only of what the
caller sees, or of what follows from its key alone.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from respool_hub.service.refusal import refuse
from respool_hub.store.ports import Reader
from respool_hub.store.rows import NOBODY, AttemptRow, RunRow


class Scope(IntEnum):
    """What a key allows; each includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


class Caller(NamedTuple):
    """Who asks. `project`: the only one this key is good for (None: all). `attempt`: the only one that this
    caller, who shows its token, may write to; of anything else it sees nothing.
    """

    user: str
    scope: Scope
    project: str | None
    key_id: str
    attempt: str | None = None

    @property
    def admin(self) -> bool:
        return self.scope is Scope.ADMIN and self.attempt is None


def allow(caller: Caller, scope: Scope) -> None:
    """Raises RefusalError "forbidden" unless the key has at least this scope."""
    if caller.scope < scope:
        raise refuse(
            "forbidden",
            f"Key {caller.key_id} of {caller.user} may {caller.scope.name.lower()}, not {scope.name.lower()}.",
            f"Use a key with the scope {scope.name.lower()}: respool key create.",
        )


def sees(reader: Reader, caller: Caller, entity: str) -> bool:
    """Whether what belongs to `entity` exists for this caller: it is the user, a team of theirs, or any for an
    admin.
    """
    mine = caller.admin or entity == caller.user
    return mine or reader.is_member(entity, caller.user)


def entities(reader: Reader, caller: Caller) -> list[str] | None:
    """Those that the caller sees; None for an admin, who sees all."""
    if caller.admin:
        return None
    return [caller.user, *(team.name for team in reader.teams(caller.user))]


def enter_entity(reader: Reader, caller: Caller, entity: str, project: str | None) -> None:
    """Raises RefusalError "missing" for an entity of others, "forbidden" for a project that is not the key's."""
    if not sees(reader, caller, entity):
        raise refuse(
            "missing",
            f"There is no entity {entity!r} that {caller.user} may use.",
            "Leave the entity out, or have an admin put you into the team of that name: "
            f"respool team add {entity} {caller.user}.",
        )
    if caller.project is not None and project != caller.project:
        raise refuse(
            "forbidden",
            f"Key {caller.key_id} is good for project {caller.project!r} only, not for {project!r}.",
            "Use a key without a project.",
        )


def find_run(reader: Reader, caller: Caller, entity: str, project: str, run_id: str) -> RunRow:
    """A run that the caller sees; "-" for the entity is the caller's own. Raises RefusalError "missing"."""
    entity = caller.user if entity == "-" else entity
    run = reader.run(entity, project, run_id)
    if run is None or entity == NOBODY or not _shown(reader, caller, run):
        raise refuse("missing", f"There is no run {entity}/{project}/{run_id}.", "See respool runs.")
    return run


def _shown(reader: Reader, caller: Caller, run: RunRow) -> bool:
    if caller.attempt is not None:
        attempt = reader.attempt(caller.attempt)
        return attempt is not None and attempt.run == run.id
    return sees(reader, caller, run.entity) and caller.project in {None, run.project}


def own_run(caller: Caller, run: RunRow) -> None:
    """Raises RefusalError "forbidden" unless the caller, who sees this run, may write to it."""
    if run.owner != caller.user and not caller.admin:
        raise refuse(
            "forbidden",
            f"Run {run.entity}/{run.project}/{run.run_id} belongs to {run.owner}, not to {caller.user}.",
            "Use another run id, or its owner's key.",
            run=run.run_id,
        )
    if caller.project not in {None, run.project}:
        cause = f"Key {caller.key_id} is good for project {caller.project!r} only, not for {run.project!r}."
        raise refuse("forbidden", cause, "Use a key without a project.")


def own_attempt(reader: Reader, caller: Caller, attempt_id: str) -> tuple[AttemptRow, RunRow]:
    """The attempt and its run. Raises RefusalError "unknown-attempt", also for another's, or "deleted"."""
    check_not_deleted(reader, caller, attempt_id)
    attempt = reader.attempt(attempt_id)
    run = reader.run_of(attempt.run) if attempt is not None else None
    if attempt is None or run is None or run.entity == NOBODY or not may_write(caller, attempt, run):
        raise refuse(
            "unknown-attempt",
            f"Attempt {attempt_id[:64]!r} is not registered here.",
            "Attach it first, then send again.",
        )
    return attempt, run


def may_write(caller: Caller, attempt: AttemptRow, run: RunRow) -> bool:
    """Whether the caller may append to this attempt."""
    if caller.attempt is not None:
        return caller.attempt == attempt.attempt_id
    return (run.owner == caller.user or caller.admin) and caller.project in {None, run.project}


def check_not_deleted(reader: Reader, caller: Caller, attempt_id: str) -> None:
    """Raises RefusalError "deleted" for an attempt of a run of the caller's that was deleted."""
    grave = reader.grave(attempt_id)
    if grave is None or not (caller.admin or grave.owner == caller.user or caller.attempt == attempt_id):
        return
    raise refuse(
        "deleted",
        f"Run {grave.run} was deleted at the hub by {grave.deleted_by}.",
        "What is left of it on this node goes with `respool spool purge`; a new process may use its id again.",
    )
