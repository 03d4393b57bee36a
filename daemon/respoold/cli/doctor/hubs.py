"""The daemon and the hub, as they are reached from here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from respoold import __version__
from respoold.cli import words
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.doctor.finding import Finding, Level
from respoold.cli.errors import CommandError
from respoold.cli.hub import Hub, find_hub, find_key
from respoold.cli.places import Places

SKEW_SECONDS = 60.0


def daemon(places: Places) -> tuple[dict[str, Any] | None, list[Finding]]:
    """(its status, findings); None without one."""
    try:
        with open_daemon(places) as link:
            status = link.status()
            return status, [_version(link.path, link.welcome.daemon), *_warnings(status)]
    except NoDaemonError as error:
        return None, list(_no_daemon(error))
    except CommandError as error:
        return None, [Finding(Level.BAD, "daemon", error.cause, error.advice)]


def _no_daemon(error: NoDaemonError) -> Iterator[Finding]:
    for path, why in error.tried:
        if "no such socket" not in why:
            advice = "Remove it or start its daemon again; RESPOOL_SOCKET names another."
            yield Finding(Level.BAD, "daemon", f"The socket {path} does not answer: {why}.", advice)
    cause = "No daemon answers here: runs keep their rows in ./respool/spool, and nothing is sent by itself."
    yield Finding(
        Level.WARN, "daemon", cause, "Start one: respool up, or respool daemon; or use respool sync."
    )


def _version(path: str, release: str) -> Finding:
    if release == __version__:
        return Finding(Level.GOOD, "daemon", f"A daemon of this release ({release}) answers at {path}.")
    relation = "older" if _parts(release) < _parts(__version__) else "newer"
    cause = f"The daemon at {path} is {relation} ({release}) than this package ({__version__})."
    return Finding(Level.WARN, "daemon", cause, "They agree on a common version; bring both to one release.")


def _parts(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdecimal())


def _warnings(status: dict[str, Any]) -> Iterator[Finding]:
    for warning in status.get("warnings") or []:
        yield Finding(Level.WARN, "daemon", words.clean(str(warning)), "`respool status` says more.")
    quota = status.get("quota") or {}
    for kind in ("rows", "blobs"):
        used, cap = quota.get(f"{kind}_used"), quota.get(f"{kind}_cap")
        if cap and used and used > 0.9 * cap:
            cause = f"The quota for {kind} is nearly used up: {words.size(used)} of {words.size(cap)}."
            yield Finding(Level.WARN, "quota", cause, "Bring the hub back, or `respool spool purge`.")
    if status.get("hub") and not status.get("hub_reachable"):
        cause = f"The daemon does not reach {status['hub']}: {status.get('hub_error')}."
        yield Finding(Level.BAD, "hub", cause, "Nothing is lost; check the network between it and the hub.")


def hub(named: str | None, places: Places, *, has_daemon: bool) -> Iterator[Finding]:
    """Whether there is a hub, with a key that is good for writing, and a clock like ours."""
    try:
        address = find_hub(named, places)
    except CommandError as error:
        level = Level.WARN if has_daemon else Level.BAD
        yield Finding(level, "hub", error.cause, error.advice)
        return
    try:
        key = find_key(address, places)
        with Hub(address, key) as found:
            before = time.time()
            with found.stream("/v1/health") as response:
                skew = _skew(response.headers.get("date"), before)
            yield Finding(Level.GOOD, "hub", f"The hub at {address.url} answers ({address.source}).")
            yield from _skewed(skew)
            yield from _key(found, key, has_daemon=has_daemon)
    except CommandError as error:
        yield Finding(Level.BAD, "hub", error.cause, error.advice)


def _skew(date: str | None, now: float) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - now if date else 0.0
    except ValueError:
        return 0.0


def _skewed(skew: float) -> Iterator[Finding]:
    if abs(skew) > SKEW_SECONDS:
        way = "behind" if skew > 0 else "ahead of"
        cause = f"This machine's clock is {words.duration(abs(skew))} {way} the hub's."
        advice = "Times will look odd, histories stay right; let NTP set the clocks."
        yield Finding(Level.WARN, "clock", cause, advice)


def _key(found: Hub, key: str | None, *, has_daemon: bool) -> Iterator[Finding]:
    if key is None:
        level = Level.NOTE if has_daemon else Level.BAD
        cause = "There is no key of yours for it" + ("; the daemon uses its own." if has_daemon else ".")
        yield Finding(level, "key", cause, f"Log in: respool login {found.address.url}")
        return
    me = found.get("/v1/me")
    if "write" not in (me.get("scopes") or []):
        cause = f"The key of {words.clean(str(me.get('user')))} may read only: nothing can be logged with it."
        yield Finding(Level.BAD, "key", cause, "Have a key made with: respool key create --scope write")
        return
    yield Finding(Level.GOOD, "key", f"The key is {words.clean(str(me.get('user')))}'s and may write.")
    expires = me.get("expires_at")
    if expires and expires - time.time() < 7 * 86400:
        left = words.duration(expires - time.time())
        yield Finding(Level.WARN, "key", f"The key ends in {left}.", "Make the next: respool key create")
