"""Which hub the Api asks, and with which key.

The hub: `overrides={"base_url": ...}`, RESPOOL_HUB_URL, the daemon's, the configuration's, the only login. The
key: `api_key=`, RESPOOL_API_KEY (for the environment's hub only), what `respool login` filed, the
configuration's. A foreign variable or `.netrc` is never read.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from respool.errors import CommError, UsageError
from respool.link import Link, LinkError, candidates, close_all

_DAEMON_SECONDS = 2.0


class Address(NamedTuple):
    """A hub: `https://...`, `http://...` or `unix:/path`; its key; who named it."""

    url: str
    key: str
    source: str


def find(url: str | None, api_key: str | None, environ: Mapping[str, str]) -> Address:
    """Raises UsageError for a hub or key that cannot be used, CommError when none is known."""
    known = _credentials(environ)
    named, source = _named(url, environ, known)
    named = _normal(named)
    if urlsplit(named).scheme not in {"http", "https", "unix"}:
        raise UsageError(
            f"The hub {named!r:.200} from {source} cannot be used. Write https://HOST or unix:/PATH."
        )
    own = environ.get("RESPOOL_HUB_URL", "")
    filed = known.get(named, {})
    key = (
        api_key
        or (environ.get("RESPOOL_API_KEY") if not own or _normal(own) == named else None)
        or filed.get("api_key")
        or _configured(environ, "api_key")
    )
    if not key:
        raise CommError(f"There is no key for the hub at {named}. Run `respool login {named}`.")
    if _in_the_open(named) and not filed.get("insecure"):
        raise UsageError(
            f"The key for {named} would cross the network in plain text. Use https://, or accept it once: "
            f"`respool login {named} --insecure`."
        )
    return Address(named, key, source)


def _named(url: str | None, environ: Mapping[str, str], known: dict[str, Any]) -> tuple[str, str]:
    if url:
        return url, "base_url"
    if environ.get("RESPOOL_HUB_URL"):
        return environ["RESPOOL_HUB_URL"], "RESPOOL_HUB_URL"
    for path in candidates(dict(environ)):
        hub = _of_daemon(path)
        if hub:
            return hub, f"the daemon at {path}"
    configured = _configured(environ, "hub", "hub_url")
    if configured:
        return configured, "the configuration file"
    if len(known) == 1:
        return next(iter(known)), "the only login"
    raise CommError(
        "No hub is known: no RESPOOL_HUB_URL, no daemon, and none in a configuration file. "
        "Start one with `respool up`, or name yours: `respool login https://hub.example`."
    )


def _of_daemon(path: str) -> str | None:
    from time import monotonic  # noqa: PLC0415 - beside its only use

    try:
        link = Link(path, "respool api", lambda received: close_all(received.fds))
        try:
            link.wait(lambda: link.open or link.refused is not None, monotonic() + _DAEMON_SECONDS)
            return link.welcome.hub if link.welcome is not None else None
        finally:
            link.close()
    except LinkError:
        return None


def _folder(environ: Mapping[str, str]) -> str:
    base = environ.get("XDG_CONFIG_HOME", "")
    return os.path.join(base if base.startswith("/") else os.path.expanduser("~/.config"), "respool")


def _credentials(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    path = os.path.join(_folder(environ), "credentials.toml")
    try:
        with open(path, "rb") as file:
            info = os.fstat(file.fileno())
            if info.st_uid not in {0, os.geteuid()} or info.st_mode & 0o077:
                raise UsageError(
                    f"The credentials file {path} is open to others. Close it: `chmod 600 {path}`."
                )
            hubs = tomllib.load(file).get("hubs", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The credentials file {path} cannot be read: {error}. Repair or remove it."
        ) from error
    tables = hubs.items() if isinstance(hubs, dict) else ()
    return {_normal(url): table for url, table in tables if isinstance(table, dict)}


def _configured(environ: Mapping[str, str], *keys: str) -> str | None:
    own = [os.path.join(_folder(environ), name) for name in ("respool.toml", "respoold.toml")]
    for path in [*own, "/etc/respool/respoold.toml"]:
        try:
            with open(path, "rb") as file:
                found = tomllib.load(file)
        except (OSError, ValueError):
            continue
        for key in keys:
            if isinstance(found.get(key), str) and found[key]:
                return str(found[key])
    return None


def _normal(url: str) -> str:
    return url.strip().rstrip("/")


def _in_the_open(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return url.startswith("http://") and host not in {"localhost", "::1"} and not host.startswith("127.")
