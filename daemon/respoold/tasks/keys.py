"""Users' own keys: shown to the hub for what is theirs, exchanged for attempts' tokens, never written down."""

from __future__ import annotations

from respoold.core.attempt import Attempt, Pass
from respoold.core.errors import HubDenied
from respoold.core.hubapi import Problem
from respoold.io import registration, tokens
from respoold.tasks.keeper import Keeper
from respoold.tasks.restored import met
from respoold.tasks.uplink import Uplink

NO_KEY = "this run began with its user's own key for {}, which was not exchanged yet"


async def register(keeper: Keeper, uplink: Uplink, attempt: Attempt) -> None:
    """Register an attempt that the hub does not know, or exchange the key that it waits with. Raises what the
    hub's door raises.
    """
    if attempt.pass_.stuck:
        raise HubDenied(Problem("no-key", NO_KEY.format(uplink.url)))
    answer = await registration.register(uplink.door_of(attempt), attempt)
    met(keeper, uplink, answer.incarnation)
    if attempt.pass_.waiting and answer.token:
        attempt.pass_ = Pass(own=True, token=answer.token)
        tokens.write(keeper.root, attempt.file.uid, attempt.id, answer.token)


def lend(keeper: Keeper, attempt: Attempt, key: str) -> None:
    """The user of this attempt has brought a key for its hub: with it all of theirs that wait for one go on."""
    uplink = keeper.uplink_of(attempt)
    for one in keeper.node:
        if one.pass_.stuck and keeper.uplink_of(one) is uplink:
            one.pass_ = one.pass_._replace(key=key)
            if uplink is not None:
                uplink.schedule.hasten()
            keeper.offer(one)
