"""From the secret that a request shows to the caller behind it."""

from __future__ import annotations

from respool_hub.hub import Hub
from respool_hub.keyring import TOUCH_SECONDS
from respool_hub.service import token
from respool_hub.service.access import Caller
from respool_hub.service.keys import caller_of, digest_of, unusable
from respool_hub.service.refusal import refuse
from respool_hub.store.rows import KeyRow

_ADVICE = "Make a key (respool key create), then: respool login."


async def owner(hub: Hub, key: str, on_behalf_of: str = "") -> Caller:
    """Whose key this is. Raises RefusalError "unauthorized"."""
    row = await _look(hub, digest_of(key))
    if row is None:
        raise refuse("unauthorized", "The API key is unknown to this hub.", _ADVICE)
    why = unusable(row, hub.clock.wall())
    if why is not None:
        raise refuse("unauthorized", f"The API key ({row.key_id}) {why}.", _ADVICE)
    return caller_of(row, on_behalf_of)


async def holder(hub: Hub, shown: str) -> Caller:
    """Which attempt's token this is. Raises RefusalError "unauthorized"."""
    claim = token.read(hub.secret, shown)
    row = await _look(hub, claim.key_id) if claim is not None else None
    if claim is None or row is None:
        raise refuse("unauthorized", "The attempt's token is unknown to this hub.", _ADVICE)
    why = unusable(row, hub.clock.wall(), expiry=False)
    if why is not None:
        raise refuse("unauthorized", f"The key ({row.key_id}) that this token came from {why}.", _ADVICE)
    return caller_of(row)._replace(attempt=claim.attempt_id)


async def _look(hub: Hub, name: bytes | str) -> KeyRow | None:
    """A key by its digest or its id."""
    row = hub.keyring.find(name)
    if row is None:
        row = await hub.read(
            lambda reader: reader.key_of(name) if isinstance(name, str) else reader.key(name)
        )
        if row is not None and row.revoked_at is None:
            hub.keyring.remember(row)
            _touch(hub, row)
    return row


def _touch(hub: Hub, row: KeyRow) -> None:
    """Note that it is in use, now and then; nobody waits for that."""
    now = hub.clock.wall()
    if row.used_at is None or abs(now - row.used_at) >= TOUCH_SECONDS:
        hub.store.write(lambda tx: tx.touch_key(row.key_id, now))
