"""Names that strangers choose: what they may be before they are stored or looked for."""

from __future__ import annotations

import posixpath

from respool.wire.identity import BadNameError, project_of, run_id_of
from respool.wire.limits import MAX_NAME
from respool_hub.service.refusal import refuse

MAX_ENTITY = 64
MAX_WHY = 400
"""Characters of what daemons say of a backlog or a notice."""
_HEX = frozenset("0123456789abcdef")


def entity(name: str) -> str:
    """The name of a user or an entity. Raises RefusalError "bad-request"."""
    if len(name) > MAX_ENTITY:
        raise refuse(
            "bad-request", f"The name {name[:80]!r} has {len(name)} characters.", f"Use at most {MAX_ENTITY}."
        )
    return project(name, "entity")


def project(name: str, what: str = "project") -> str:
    """The name of a project, or of `what`. Raises RefusalError "bad-request"."""
    try:
        return _encodable(project_of(name, what))
    except BadNameError as error:
        raise refuse("bad-request", f"The name {name[:80]!r} cannot be used.", f"{error}.") from error


def run_id(name: str) -> str:
    """A run id as it is stored: a spelling that still must be changed is refused here."""
    try:
        if run_id_of(name) == name:
            return name
    except BadNameError as error:
        raise refuse("bad-request", f"The run id {name[:80]!r} cannot be used.", f"{error}.") from error
    raise refuse("bad-request", f"The run id {name!r} cannot be used.", "Use characters of [A-Za-z0-9_-].")


def file(name: str) -> str:
    """A file's name inside a run; `./x` and `x` are one. Raises RefusalError "bad-request"."""
    size = len(name.encode("utf-8", "replace"))
    if not name or size > MAX_NAME or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise refuse(
            "bad-request",
            f"The file name {name[:80]!r} of {size} bytes cannot be used.",
            f"Use a relative path of 1 to {MAX_NAME} bytes without '..' and NUL.",
        )
    normal = posixpath.normpath(_encodable(name))
    if normal == ".":
        raise refuse("bad-request", f"The file name {name[:80]!r} is a folder's.", "Name a file.")
    return normal


def digest(text: str) -> str:
    """A BLAKE3-256 in hexadecimal. Raises RefusalError "bad-request"."""
    if len(text) != 64 or not _HEX.issuperset(text):
        raise refuse("bad-request", f"{text[:80]!r} is no digest.", "Use 64 lower-case hexadecimal digits.")
    return text


def attempt_id(text: str) -> str:
    """The id of an attempt. Raises RefusalError "bad-request"."""
    if len(text) != 32 or not _HEX.issuperset(text):
        raise refuse(
            "bad-request", f"{text[:80]!r} is no attempt id.", "Use 32 lower-case hexadecimal digits."
        )
    return text


def _encodable(name: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise refuse("bad-request", f"The name {name[:80]!r} is no Unicode text.", "Use UTF-8.")
    return name
