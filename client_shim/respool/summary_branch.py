"""A dict inside the summary: `run.summary["best"]["loss"] = 0.1` is recorded as any other change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

Path = tuple[str, ...]
Write = Callable[[Path, dict[str, Any], list[str]], None]


class Branch(dict[str, Any]):
    """What was at `path` when it was asked for: a copy, so that a row that the script logged is not changed with
    it. Setting and deleting go through `write` (path, what was set, what was removed) as well, at any depth.
    """

    _path: Path
    _write: Write

    def __init__(self, values: dict[str, Any], path: Path, write: Write) -> None:
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_write", write)
        super().__init__({key: branched(value, (*path, key), write) for key, value in values.items()})

    def update(self, values: Any = (), /, **more: Any) -> None:
        """Set several at once."""
        new = {str(key): plain(value) for key, value in {**dict(values), **more}.items()}
        if new:
            self._write(self._path, new, [])
        path = self._path
        super().update({key: branched(value, (*path, key), self._write) for key, value in new.items()})

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._write(self._path, {}, [key])

    def __ior__(self, values: Any) -> Self:  # type: ignore[override,misc]
        self.update(values)
        return self

    def pop(self, key: str, *default: Any) -> Any:
        """Take a key away; what it had, or `default`."""
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the newest key away."""
        if not self:
            raise KeyError("popitem(): the dict is empty")
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all keys away."""
        for key in list(self):
            del self[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """What the key has; `default`, which it has from now on, if it had nothing."""
        if key not in self:
            self[key] = default
        return self[key]

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this part of the summary has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __reduce_ex__(self, _: Any) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (plain(self),)


def branched(value: Any, path: Path, write: Write) -> Any:
    """A dict as a Branch; anything else as it is."""
    return Branch(value, path, write) if isinstance(value, dict) else value


def plain(value: Any) -> Any:
    """A value without its branches."""
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def changed(value: Any, path: Path, new: dict[str, Any], gone: list[str]) -> dict[str, Any]:
    """A copy of a dict with what was set and removed at `path` inside of it. What is no dict there gives way."""
    copy = dict(value) if isinstance(value, dict) else {}
    if path:
        copy[path[0]] = changed(copy.get(path[0]), path[1:], new, gone)
        return copy
    copy.update(new)
    for key in gone:
        copy.pop(key, None)
    return copy
