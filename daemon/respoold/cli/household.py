"""A hub and a daemon of one's own, as children of a command, with a key that nobody had to type."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from typing import NamedTuple

from respoold.cli import credentials
from respoold.cli.children import Child, respool_argv
from respoold.cli.credentials import Credential
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Hub, checked

READY_SECONDS = 20.0
HUB_READY = "respool hub ready at "
DAEMON_READY = "respoold ready at "
MAX_SOCKET = 107
_FOREIGN = ("RESPOOL_", "WANDB_")


class Layout(NamedTuple):
    """Where a household lives. All folders are made, for the owner alone."""

    data: str
    listen: str
    spool: str
    socket: str
    logs: str
    credentials: str


class Household:
    """The pair. Start the hub first: the daemon wants its address."""

    def __init__(self, layout: Layout, environ: Mapping[str, str]) -> None:
        self.layout = layout
        self.environ = own_environment(environ)
        self.url = ""
        for folder in (layout.data, layout.spool, os.path.dirname(layout.socket), layout.logs):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        self.hub = self._child("hub", "--data", layout.data, "--listen", layout.listen)
        self.daemon: Child | None = None

    def start_hub(self) -> str:
        """Start the hub, or start it again; its address once it answers."""
        self.hub.start()
        line = self.hub.wait_line(HUB_READY, READY_SECONDS)
        self.url = line.removeprefix(HUB_READY).partition(" (")[0]
        return self.url

    def start_daemon(self) -> Child:
        """Start the daemon, or start it again; ready when this returns."""
        if self.daemon is None:
            layout = self.layout
            self.daemon = self._child(
                "daemon", "--spool", layout.spool, "--socket", layout.socket, "--hub", self.url
            )
        self.daemon.start()
        self.daemon.wait_line(DAEMON_READY, READY_SECONDS)
        return self.daemon

    def wire_key(self, user: str, name: str) -> str:
        """A write key in credentials.toml: the one that is there if it still works, else a new one."""
        address = checked(self.url, "the hub's ready line")
        known = credentials.find(self.layout.credentials, self.url)
        if known and self._works(known.api_key):
            return known.api_key
        with Hub(address, self.admin_key()) as hub:
            key = str(
                hub.post("/v1/keys", {"user": user, "scope": "write", "project": None, "name": name})["key"]
            )
        credentials.save(self.layout.credentials, self.url, Credential(key))
        return key

    def admin_key(self) -> str:
        path = os.path.join(self.layout.data, "admin-key")
        try:
            with open(path, encoding="utf-8") as file:
                return file.readline().strip()
        except OSError as error:
            cause = f"The hub's admin key {path} cannot be read: {error.strerror}."
            advice = f"Put a write key into {self.layout.credentials}, or begin with another --data folder."
            raise CommandError(Exit.USAGE, cause, advice) from error

    def stop(self, grace: float) -> None:
        """Stop both, the daemon first so that it can still hand over what it has."""
        for child in (self.daemon, self.hub):
            if child is not None:
                child.stop(grace)

    def _works(self, key: str) -> bool:
        try:
            with Hub(checked(self.url, "the hub's ready line"), key) as hub:
                return "user" in hub.get("/v1/me")
        except CommandError:
            return False

    def _child(self, name: str, *flags: str) -> Child:
        log = os.path.join(self.layout.logs, f"{name}.log")
        return Child(name, respool_argv(name, *flags), self.environ, log, self.layout.logs)


def own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would point the children at other hubs, sockets and keys."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def check_socket(path: str, advice: str) -> None:
    """Raises CommandError for a path that is too long for a Unix socket."""
    length = len(os.fsencode(path))
    if length > MAX_SOCKET:
        cause = f"The socket {path} has {length} characters; the system allows {MAX_SOCKET}."
        raise CommandError(Exit.USAGE, cause, advice)


def user_name() -> str:
    """Who runs this, as the hub shall call them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.geteuid()}"
