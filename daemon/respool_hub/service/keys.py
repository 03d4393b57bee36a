"""API keys: making, showing and revoking them."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Any, NamedTuple

from respool_hub.service import names
from respool_hub.service.access import Caller, Scope
from respool_hub.service.refusal import refuse
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import KeyRow

PREFIX = "rsp_"
ADMIN = "admin"
MAX_LABEL = 200


class Wish(NamedTuple):
    """What a key is asked for: `user` "" is the caller."""

    scope: str
    user: str = ""
    project: str | None = None
    name: str = ""


class NewKey(NamedTuple):
    """`key` is shown once and kept nowhere."""

    row: KeyRow
    key: str


def new_key(user: str, scope: Scope, project: str | None, name: str, at: float) -> NewKey:
    """A key of 160 random bits."""
    key = PREFIX + secrets.token_hex(20)
    row = KeyRow("k" + secrets.token_hex(6), digest_of(key), user, scope.name.lower(), project, name, at)
    return NewKey(row, key)


def digest_of(key: str) -> bytes:
    return sha256(key.encode("utf-8", "replace")).digest()


def caller_of(row: KeyRow) -> Caller:
    return Caller(row.user, Scope[row.scope.upper()], row.project, row.key_id)


def grant(caller: Caller, wish: Wish, at: float) -> NewKey:
    """The key that `caller` may have. Raises RefusalError for one that allows more than the caller's own."""
    if wish.scope.upper() not in Scope.__members__:
        raise refuse("bad-request", f"Scope {wish.scope[:40]!r} is unknown.", "Use read, write or admin.")
    if len(wish.name) > MAX_LABEL:
        raise refuse("bad-request", f"The key's name has {len(wish.name)} characters.", f"Use {MAX_LABEL}.")
    scope = Scope[wish.scope.upper()]
    user = names.entity(wish.user or caller.user)
    project = None if wish.project is None else names.project(wish.project)
    narrower = caller.project is None or caller.project == project
    if not caller.admin and (user != caller.user or scope > caller.scope):
        raise _more(f"{caller.user} may not make a key of scope {scope.name.lower()} for {user!r}")
    if not narrower:
        raise _more(f"key {caller.key_id} is good for project {caller.project!r} only")
    return new_key(user, scope, project, wish.name, at)


def listed(reader: Reader, caller: Caller) -> list[dict[str, Any]]:
    """All keys for an admin, else the caller's own; never the keys themselves."""
    rows = reader.keys(None if caller.admin else caller.user)
    return [{name: value for name, value in row._asdict().items() if name != "digest"} for row in rows]


def revoke(tx: Transaction, caller: Caller, key_id: str, at: float) -> None:
    """Raises RefusalError "missing" for a key that is not there, is another's, or was revoked."""
    mine = {row.key_id for row in tx.keys(None if caller.admin else caller.user)}
    if key_id not in mine or not tx.revoke_key(key_id, at):
        raise refuse("missing", f"There is no key {key_id[:40]!r} to revoke.", "See respool key list.")


def _more(what: str) -> Exception:
    return refuse("forbidden", f"This key cannot be made: {what}.", "Ask an admin of the hub.")
