"""What people should know of, each of what is theirs: warnings by user."""

from __future__ import annotations

MOST = 50
"""Kept of one user at most; the oldest go first. Texts may name files and sizes, so their number has no other bound."""

EVERYBODY = None
"""For what concerns the machine and names nobody: everybody reads it."""


class Complaints:
    """What is said `about` the same thing replaces what was said before."""

    def __init__(self) -> None:
        self._said: dict[int | None, dict[str, str]] = {}

    def warn(self, uid: int | None, text: str, about: str = "") -> None:
        """Something that this user should know."""
        mine = self._said.setdefault(uid, {})
        mine[about or text] = text
        while len(mine) > MOST:
            del mine[next(iter(mine))]

    def resolve(self, uid: int | None, about: str) -> None:
        """That is no longer so."""
        self._said.get(uid, {}).pop(about, None)

    def of(self, uid: int, *, all_users: bool = False) -> list[str]:
        """What this user may read, or everything."""
        users = list(self._said) if all_users else [EVERYBODY, uid]
        return [text for user in users for text in self._said.get(user, {}).values()]
