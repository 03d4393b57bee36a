"""An uplink: one hub as one user of this node uses it, with a key, a breaker, a schedule and a heartbeat of its own.

So a key that is refused, a hub that is away, or a user who floods is one user's trouble and nobody else's.
"""

from __future__ import annotations

import os
import pwd
import random
from collections.abc import Iterator
from typing import Any

import trio

from respoold.config import Config, ConfigError, Key, keys_for
from respoold.core.address import in_the_open, normal
from respoold.core.attempt import Attempt
from respoold.core.breaker import Breaker
from respoold.core.errors import HubDenied
from respoold.core.schedule import Schedule
from respoold.doorbell import Doorbell
from respoold.io.bulk import Pace
from respoold.io.hub import Credential, HubDoor
from respoold.tasks.turns import Turns

DENIED_SECONDS = 60.0
"""Pause after a key was refused for which there is no other."""
MOST_CAUGHT_UP = 1000
"""A start may find as many as were ever kept; a heartbeat has an end."""


class Uplink:
    """`hub` is the door to it. `login` is shown with the daemon's key where that is not the user's. `denied`: it
    refuses our key. `shut`: why no key may go there at all, if so. `pace`: the node's, for files. `caught_up`: the
    attempts of which the hub has all, and must hear so yet, with the writers that were read to their end.
    """

    def __init__(self, config: Config, url: str, uid: int, login: str = "", pace: Pace | None = None) -> None:
        self.url, self.uid, self.login = url, uid, login
        self.schedule = Schedule()
        self.turns = Turns()
        self.breaker = Breaker(trio.current_time())
        self.upload = Doorbell()
        self.pulse = Doorbell()
        self.denied = False
        self.incarnation = ""
        self.shut: str | None = None
        self.pace = pace or Pace(config.upload_limit)
        self.caught_up: dict[str, list[int]] = {}
        self.news = False
        self._config = config
        self._told: set[str] = set()
        self._settled: set[str] = set()
        self._refused: set[str] = set()
        self.hub = HubDoor(url, self._credential(), self.pace)

    @property
    def open(self) -> bool:
        """Whether anything but probes may be sent now."""
        return self.breaker.closed and self.shut is None

    @property
    def why(self) -> str | None:
        """Why nothing is sent."""
        return self.shut or self.breaker.why

    def failed(self, why: str, retry_after: float | None = None) -> None:
        """A request was not answered: nothing but probes until one is."""
        self.breaker.failed(trio.current_time(), jitter(), why, retry_after)
        self.pulse.ring()

    def answered(self) -> None:
        """A request was answered; after an outage everything that waited goes on at once."""
        self.denied = False
        self._refused.clear()
        if self.breaker.succeeded(trio.current_time()):
            self.schedule.hasten()
            self.upload.ring()

    def refused(self, error: HubDenied) -> bool:
        """The hub refused our key. True when another one was found, which is used from now on."""
        before = self.hub.credential
        if error.problem.code != "unauthorized" or before is None:
            return False
        self._refused.add(before.secret)
        self.hub.credential = self._credential()
        return self.hub.credential != before

    def look_for_key(self) -> None:
        """Where there is no key, or none may be sent, look again: `respool login` may have brought one."""
        if self.shut is not None or self.hub.credential is None or self.denied:
            self.hub.credential = self._credential()

    def door(self, key: str = "") -> HubDoor:
        """The hub for who shows a key of his own, or the daemon's."""
        return self.hub.shown(self._own(key)) if key else self.hub

    def door_of(self, attempt: Attempt | None) -> HubDoor:
        """The hub for who shows what this attempt shows: nothing, while nobody has brought its user's key."""
        shown = attempt.pass_ if attempt is not None else None
        if shown is None or not shown.own:
            return self.hub
        secret = shown.token or shown.key
        return self.hub.shown(self._own(secret) if secret else None)

    def told_of(self, reports: dict[str, dict[str, Any]], known: dict[str, list[int]]) -> None:
        """The hub has heard these reports; it must also hear when those that were behind have caught up. `known`: who
        had when the reports were made. Who has since, while they were on their way, is still to be told of.
        """
        late = {one: whole for one, whole in self.caught_up.items() if known.get(one) is not whole}
        behind = {
            one for one, report in reports.items() if report["pending_records"] or report["pending_files"]
        }
        self._told, self.caught_up, self.news = behind - late.keys(), late, False

    def beat_soon(self) -> None:
        """The next heartbeat has news for other nodes."""
        self.news = True
        self.pulse.ring()

    def sent_some(self, attempt: Attempt) -> None:
        """Something of this attempt reached the hub."""
        if attempt.id in self._told and not attempt.pending_records() and not attempt.pending_files():
            self._catch_up(attempt)

    def settled(self, attempt: Attempt) -> None:
        """A complete attempt: said once, whether or not this process told of a backlog. Another one may have, which
        read the same folder, or which was killed before it could say more.
        """
        if attempt.id not in self._settled:
            self._settled.add(attempt.id)
            self._catch_up(attempt)

    @property
    def owes_a_word(self) -> bool:
        """Whether the hub believes something of this node that is no longer so."""
        return self.open and bool(self._told or self.caught_up)

    def _catch_up(self, attempt: Attempt) -> None:
        self._told.discard(attempt.id)
        if len(self.caught_up) < MOST_CAUGHT_UP:
            self.caught_up[attempt.id] = sorted(attempt.writers) if attempt.complete else []
            self.pulse.ring()

    def _credential(self) -> Credential | None:
        """The key to show, the first that was not refused lately; sets `shut` when it must not be sent."""
        self.shut = None
        try:
            keys = keys_for(self._config, self.url)
        except ConfigError as error:
            self.shut = str(error)
            return None
        fresh = [key for key in keys if key.secret not in self._refused] or keys
        return self._checked(fresh[0]) if fresh else None

    def _own(self, secret: str) -> Credential | None:
        """A user's own credential, which goes over an open network only where the administrator allows that."""
        if in_the_open(self.url) and not self._config.insecure:
            return None
        return Credential(secret)

    def _checked(self, key: Key) -> Credential | None:
        if in_the_open(self.url) and not key.insecure:
            self.shut = (
                f"the key for {self.url} would cross the network in plain text: use https, "
                f"or accept it: respool login {self.url} --insecure"
            )
            return None
        return Credential(key.secret, self.login)


class Uplinks:
    """All uplinks of a daemon, made when they are first asked for. `alone`: not a daemon's but of one person, who
    uploads with a key of his own, whoever owns the files.
    """

    def __init__(self, config: Config) -> None:
        self.alone = False
        self._config = config
        self._pace = Pace(config.upload_limit)
        self._all: dict[tuple[str, int], Uplink] = {}
        self.born = Doorbell()

    def __iter__(self) -> Iterator[Uplink]:
        return iter(list(self._all.values()))

    def hurry(self, *, lifted: bool) -> None:
        """Whether the bandwidth limit is lifted."""
        self._pace.lifted = lifted

    def of(self, uid: int, hub: str | None) -> Uplink | None:
        """The uplink of a user to a hub, None for the default one. None where no hub is configured."""
        url = normal(hub) if hub and not self._config.one_hub else self._config.hub
        if url is None:
            return None
        key = (url, uid)
        if key not in self._all:
            login = "" if self.alone or uid == os.geteuid() else login_of(uid)
            self._all[key] = Uplink(self._config, url, uid, login, self._pace)
            self.born.ring()
        return self._all[key]

    def of_user(self, uid: int) -> list[Uplink]:
        return [uplink for (_, owner), uplink in self._all.items() if owner == uid]

    def refusal(self, uid: int, hub: str | None) -> str | None:
        """Why a user may not use a hub, or None."""
        allowed = {*self._config.hubs, self._config.hub}
        if hub is None or uid == os.geteuid() or normal(hub) in allowed:
            return None
        names = ", ".join(sorted(url for url in allowed if url)) or "none"
        return f"this daemon does not serve the hub {hub}; it serves {names}"


def login_of(uid: int) -> str:
    """The user's login name, or what stands for it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid{uid}"


def jitter() -> float:
    return random.random()  # noqa: S311 - spreads retries, protects nothing
