"""Teams: entities that several users share. A member sees every run of the team, and writes to its own."""

from __future__ import annotations

from typing import Any

from respool_hub.service import names
from respool_hub.service.access import Caller
from respool_hub.service.refusal import refuse
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import TeamRow

MAX_MEMBERS = 1000


def listed(reader: Reader, caller: Caller) -> list[dict[str, Any]]:
    """All teams for an admin, else those that the caller is in."""
    rows = reader.teams(None if caller.admin else caller.user)
    return [{"team": row.name, "members": list(row.members), "created_at": row.created_at} for row in rows]


def put(tx: Transaction, caller: Caller, name: str, members: list[str], at: float) -> TeamRow:
    """Make a team, or give it these members. Raises RefusalError."""
    _admins_only(caller, "make teams or change their members")
    if "+" in names.entity(name) or name == "-" or tx.is_user(name):
        cause = f"A team cannot be called {name!r}: that is a user's name."
        raise refuse("conflict", cause, "Choose another name.")
    if len(members) > MAX_MEMBERS:
        raise refuse("bad-request", f"{len(members)} members are too many.", f"Name at most {MAX_MEMBERS}.")
    strangers = sorted(member for member in members if not tx.is_user(names.entity(member)))
    if strangers:
        cause = f"There is no user {strangers[0]!r} to be a member of {name!r}."
        raise refuse("missing", cause, f"Make them a key first: respool key create --user {strangers[0]}.")
    known = tx.team(name)
    team = TeamRow(name, tuple(sorted(set(members))), known.created_at if known else at)
    tx.put_team(team)
    return team


def drop(tx: Transaction, caller: Caller, name: str) -> None:
    """Raises RefusalError while the team has runs."""
    _admins_only(caller, "remove teams")
    if tx.team(name) is None:
        raise refuse("missing", f"There is no team {name[:80]!r}.", "See respool team list.")
    if tx.runs([name], None, None, 1):
        advice = f"Delete them first (respool runs --entity {name}), or take its members away."
        raise refuse("conflict", f"The team {name!r} still has runs.", advice)
    tx.drop_team(name)


def _admins_only(caller: Caller, what: str) -> None:
    if not caller.admin:
        raise refuse("forbidden", f"{caller.user} may not {what}.", "Ask an admin of the hub.")
