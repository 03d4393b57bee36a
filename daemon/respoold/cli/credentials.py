"""credentials.toml: the keys that `respool login` keeps, one table a hub.

    [hubs."https://hub.example"]
    api_key = "rsp_..."
    insecure = true        # only after `login --insecure`: this key may cross the network in plain text

The file is 0600 and replaced atomically. One that others can read, or that holds what this module did not
write, is refused with a reason: a key is neither used from an open file nor lost to a rewrite.
"""

from __future__ import annotations

import os
import tomllib
from typing import NamedTuple

from respoold.cli.errors import CommandError, Exit
from respoold.core.address import normal

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


class Credential(NamedTuple):
    """What is known for one hub."""

    api_key: str
    insecure: bool = False


def load(path: str) -> dict[str, Credential]:
    """Every credential of the file; none if there is no file. Raises CommandError for an unsafe one."""
    try:
        with open(path, "rb") as file:
            _check_private(path, os.fstat(file.fileno()))
            document = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(
            path, error.strerror or str(error), "Check the file's owner and its folder."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _unusable(path, str(error), "Repair or remove the file, then `respool login`.") from error
    return {normal(url): _credential(path, url, table) for url, table in _hubs(path, document).items()}


def find(path: str, url: str) -> Credential | None:
    """The credential for a hub, or None."""
    return load(path).get(normal(url))


def save(path: str, url: str, credential: Credential) -> None:
    """Add or replace one hub's credential; the others stay. It is on disk when this returns."""
    known = load(path)
    known[normal(url)] = credential
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        _replace(path, "\n".join(_table(name, one) for name, one in sorted(known.items())))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "Check that you may write there.") from error


def _replace(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _table(url: str, credential: Credential) -> str:
    lines = [f"[hubs.{quote(url)}]", f"api_key = {quote(credential.api_key)}"]
    if credential.insecure:
        lines.append("insecure = true")
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    """A TOML basic string."""
    letters = (
        _ESCAPES.get(one) or (f"\\u{ord(one):04x}" if ord(one) < 32 or ord(one) == 127 else one)
        for one in text
    )
    return '"' + "".join(letters) + '"'


def _hubs(path: str, document: dict[str, object]) -> dict[str, object]:
    hubs = document.get("hubs", {})
    others = sorted(set(document) - {"hubs"})
    if others or not isinstance(hubs, dict):
        name = others[0] if others else "hubs"
        raise _unusable(
            path, f"the key {name!r} has no meaning here", 'Only tables [hubs."URL"] belong in it.'
        )
    return hubs


def _credential(path: str, url: str, table: object) -> Credential:
    key = table.get("api_key") if isinstance(table, dict) else None
    insecure = table.get("insecure", False) if isinstance(table, dict) else None
    strange = sorted(set(table) - {"api_key", "insecure"}) if isinstance(table, dict) else []
    if not isinstance(key, str) or not isinstance(insecure, bool) or strange:
        what = f"has the unknown key {strange[0]!r}" if strange else "has no usable api_key"
        raise _unusable(path, f'[hubs."{url}"] {what}', 'It holds api_key = "rsp_..." and nothing else.')
    return Credential(key, insecure)


def _check_private(path: str, info: os.stat_result) -> None:
    if info.st_uid not in {0, os.geteuid()}:
        raise _unusable(
            path, f"it belongs to uid {info.st_uid}, not to you", "Remove it and `respool login`."
        )
    if info.st_mode & 0o077:
        mode = f"{info.st_mode & 0o777:04o}"
        raise _unusable(path, f"others can read it (mode {mode})", f"Close it with `chmod 600 {path}`.")


def _unusable(path: str, why: str, advice: str) -> CommandError:
    return CommandError(Exit.USAGE, f"The credentials file {path} cannot be used: {why}.", advice)
