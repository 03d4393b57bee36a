"""API keys: making, showing and revoking them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
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
MAX_LIFE = 100 * 366 * 86400.0


class Wish(NamedTuple):
    """What a key is asked for: `user` "" is the caller. `expires_in`: seconds from now on; None for never."""

    scope: str
    user: str = ""
    project: str | None = None
    name: str = ""
    expires_in: float | None = None


class NewKey(NamedTuple):
    """`key` is shown once and kept nowhere."""

    row: KeyRow
    key: str


def new_key(
    user: str, scope: Scope, project: str | None, name: str, at: float, expires_at: float | None = None
) -> NewKey:
    """A key of 160 random bits."""
    key = PREFIX + secrets.token_hex(20)
    row = KeyRow("k" + secrets.token_hex(6), digest_of(key), user, scope.name.lower(), project, name, at)
    return NewKey(row._replace(expires_at=expires_at), key)


def digest_of(key: str) -> bytes:
    return sha256(key.encode("utf-8", "replace")).digest()


def caller_of(row: KeyRow, on_behalf_of: str = "") -> Caller:
    """The key's user; `on_behalf_of` a login name of its machine: an account of its own below that user's, and no
    admin whatever the key is.
    """
    scope = Scope[row.scope.upper()]
    if not on_behalf_of:
        return Caller(row.user, scope, row.project, row.key_id)
    user = names.entity(f"{row.user}+{on_behalf_of}")
    return Caller(user, min(scope, Scope.WRITE), row.project, row.key_id)


def unusable(row: KeyRow, at: float, *, expiry: bool = True) -> str | None:
    """Why a key opens nothing any more, or None."""
    if row.revoked_at is not None:
        return "was revoked"
    if expiry and row.expires_at is not None and row.expires_at <= at:
        return f"expired on {datetime.fromtimestamp(row.expires_at, UTC):%Y-%m-%d at %H:%M} UTC"
    return None


def grant(reader: Reader, caller: Caller, wish: Wish, at: float) -> NewKey:
    """The key that `caller` may have. Raises RefusalError for one that allows more than the caller's own, and for
    one that would be a team's.
    """
    if wish.scope.upper() not in Scope.__members__:
        raise refuse("bad-request", f"Scope {wish.scope[:40]!r} is unknown.", "Use read, write or admin.")
    if len(wish.name) > MAX_LABEL:
        raise refuse("bad-request", f"The key's name has {len(wish.name)} characters.", f"Use {MAX_LABEL}.")
    scope = Scope[wish.scope.upper()]
    user = names.entity(wish.user or caller.user)
    project = None if wish.project is None else names.project(wish.project)
    narrower = caller.project is None or caller.project == project
    if reader.team(user) is not None:
        advice = "Make keys for its members; see respool team list."
        raise refuse("conflict", f"{user!r} is a team, and teams have no keys.", advice)
    if not caller.admin and (user != caller.user or scope > caller.scope):
        raise _more(f"{caller.user} may not make a key of scope {scope.name.lower()} for {user!r}")
    if not narrower:
        raise _more(f"key {caller.key_id} is good for project {caller.project!r} only")
    return new_key(user, scope, project, wish.name, at, _expiry(reader, caller, wish.expires_in, at))


def _expiry(reader: Reader, caller: Caller, seconds: float | None, at: float) -> float | None:
    """When the new key expires: as wished, and never after the key that it is made with."""
    if seconds is not None and not 0 < seconds <= MAX_LIFE:
        cause = f"A key cannot expire in {seconds:g} seconds."
        raise refuse("bad-request", cause, "Use a time of up to 100 years, or leave it out.")
    mine = reader.key_of(caller.key_id)
    limits = [at + seconds] if seconds is not None else []
    if mine is not None and mine.expires_at is not None:
        limits.append(mine.expires_at)
    return min(limits, default=None)


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
