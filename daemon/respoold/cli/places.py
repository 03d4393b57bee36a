"""Where things are on this machine: folders, sockets, the configured hub. No network."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

from respoold.cli.errors import CommandError, Exit

SYSTEM_SOCKET = "/run/respool/respoold.sock"
SYSTEM_CONFIG = "/etc/respool/respoold.toml"


class Places(NamedTuple):
    """What the environment says, read once."""

    environ: Mapping[str, str]
    home: str
    uid: int
    system_config: str = SYSTEM_CONFIG
    system_socket: str = SYSTEM_SOCKET

    @property
    def config_folder(self) -> str:
        return os.path.join(self._xdg("XDG_CONFIG_HOME", ".config"), "respool")

    @property
    def state_folder(self) -> str:
        return os.path.join(self._xdg("XDG_STATE_HOME", ".local/state"), "respool")

    @property
    def credentials(self) -> str:
        return os.path.join(self.config_folder, "credentials.toml")

    @property
    def spool(self) -> str:
        """The user daemon's spool: one a machine, as the state folder may be on a shared disk."""
        return os.path.join(self.state_folder, os.uname().nodename)

    @property
    def user_socket(self) -> str:
        """The user daemon's socket; beside the spool where there is no runtime folder."""
        folder = self.environ.get("XDG_RUNTIME_DIR", "")
        if not folder.startswith("/"):
            folder = os.path.join(self.spool, "run")
        return os.path.join(folder, "respool", "respoold.sock")

    @property
    def sockets(self) -> list[str]:
        """Where a daemon may listen, in the order in which they are tried; one named by hand stands alone."""
        named = self.environ.get("RESPOOL_SOCKET")
        return [named] if named else [self.system_socket, self.user_socket]

    def configured(self, *keys: str) -> str | None:
        """The first such text in the configuration files, the user's own first. Raises CommandError for
        broken TOML.
        """
        own = [os.path.join(self.config_folder, name) for name in ("respool.toml", "respoold.toml")]
        for path in [*own, self.system_config]:
            found = _read_toml(path)
            for key in keys:
                if isinstance(found.get(key), str) and found[key]:
                    return str(found[key])
        return None

    def _xdg(self, name: str, default: str) -> str:
        folder = self.environ.get(name, "")
        return folder if folder.startswith("/") else os.path.join(self.home, default)


def here() -> Places:
    """The places of this process."""
    return Places(os.environ, os.path.expanduser("~"), os.geteuid())


def _read_toml(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        cause = f"The configuration {path} is not valid TOML: {error}."
        raise CommandError(Exit.USAGE, cause, "Correct that line, or move the file away.") from error


def registered_spools(places: Places) -> list[str]:
    """Spool folders of processes that ran without a daemon, as they registered themselves; each exists."""
    registry = os.path.join(places.state_folder, "spools")
    try:
        names = [_registered(os.path.join(registry, name)) for name in sorted(os.listdir(registry))]
    except OSError:
        return []
    found = dict.fromkeys(os.path.realpath(name) for name in names if name.startswith("/"))
    return [name for name in found if os.path.isdir(name)]


def _registered(entry: str) -> str:
    try:
        with open(entry, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline().rstrip("\n")
    except OSError:
        return ""
