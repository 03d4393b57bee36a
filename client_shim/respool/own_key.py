"""The user's own API key, for a daemon that is not the user's own.

The key of the environment belongs to the hub of the environment, and is shown to no other; else the one that
`respool login` kept for the hub. It goes over the Unix socket to a daemon that was checked, which exchanges it at
the hub for a token; neither side writes it down. One's own daemon reads the file itself, when it needs to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from respool import notices


def key_for(hub: str | None, environ: Mapping[str, str], *, own_daemon: bool) -> str | None:
    """The key for a hub (None: none is known here, then there is nothing to show it to), or None."""
    if not hub:
        return None
    named = environ.get("RESPOOL_HUB_URL", "").strip()
    key = environ.get("RESPOOL_API_KEY", "").strip()
    if key and (not named or _normal(named) == _normal(hub)):
        return key
    return None if own_daemon else _kept(_path(environ), _normal(hub))


def _normal(url: str) -> str:
    return url.strip().rstrip("/")


def _path(environ: Mapping[str, str]) -> str:
    folder = environ.get("XDG_CONFIG_HOME", "")
    if not folder.startswith("/"):
        folder = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(folder, "respool", "credentials.toml")


def _kept(path: str, hub: str) -> str | None:
    """The key of a hub in credentials.toml. A file that is not this user's alone is not used."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid not in {0, os.getuid()} or found.st_mode & 0o077:
                notices.warn(
                    "credentials", f"{path} is not yours alone and is not used: run chmod 600 on it."
                )
                return None
            import tomllib  # noqa: PLC0415 - only who logged in, and has no daemon of his own, pays for it

            tables = tomllib.load(file).get("hubs", {})
    except (OSError, ValueError):
        return None
    for url, table in tables.items() if isinstance(tables, dict) else ():
        if _normal(url) == hub and isinstance(table, dict) and isinstance(table.get("api_key"), str):
            return str(table["api_key"])
    return None
