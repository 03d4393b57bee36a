"""Configuration of a hub, checked before anything is opened."""

from __future__ import annotations

import os
from typing import NamedTuple, Self


class ConfigError(ValueError):
    """The hub cannot start like this: one sentence of cause, one of advice. Exit code 2."""


class Listen(NamedTuple):
    """Where to listen: a path of a Unix socket, or host and port (0: any free one)."""

    path: str | None = None
    host: str = ""
    port: int = 0


class _Fields(NamedTuple):
    data: str
    listen: str
    database: str | None = None
    blobs: str | None = None
    restored: bool = False
    project_quota: int = 0


class HubConfig(_Fields):
    """Folder of the data, where to listen, the stores to use instead of the embedded ones, whether the data were put
    back from a backup, and how many bytes a project may hold (0: any number).

    Raises ConfigError naming the key and the value that cannot be used.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: str,
        listen: str,
        database: str | None = None,
        blobs: str | None = None,
        restored: bool = False,
        project_quota: int = 0,
    ) -> Self:
        if not data or "\0" in data:
            raise ConfigError(f"data is {data!r}, which is no folder. Use --data DIR.")
        parse_listen(listen)
        _embedded("database", database)
        _embedded("blobs", blobs)
        return super().__new__(cls, os.path.abspath(data), listen, database, blobs, restored, project_quota)


def parse_listen(text: str) -> Listen:
    """`HOST:PORT`, `[V6]:PORT` or `unix:/path`. Raises ConfigError for anything else."""
    if text.startswith("unix:"):
        return Listen(path=_socket_path(text))
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError(f"listen is {text!r}. Use HOST:PORT, as in 127.0.0.1:8787, or unix:/path/hub.sock.")
    return Listen(host=host.strip("[]"), port=int(port))


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not os.path.isabs(path) or len(os.fsencode(path)) > 107:
        raise ConfigError(f"listen is {text!r}. Use an absolute path of at most 107 bytes after unix:.")
    return path


def _embedded(name: str, value: str | None) -> None:
    if value is not None:
        raise ConfigError(
            f"{name} is {value!r}, which this release cannot use. Leave it out: the hub keeps all in --data."
        )
