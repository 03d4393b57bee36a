"""`run.summary`: the last value of each metric, or what the script says instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from respool import notices
from respool.summary_branch import branched, changed, plain


class Summary(MutableMapping[str, Any]):
    """A live view of `values`, into which rows are folded as they are logged. Writing here, and inside of a dict
    that is here, is a record of its own: `changed` is called with what was set and what was removed.
    """

    def __init__(self, values: dict[str, Any], changed: Callable[[dict[str, Any], list[str]], None]) -> None:
        self.__dict__["_values"] = values
        self.__dict__["_changed"] = changed

    def update(self, values: Any = (), /, **more: Any) -> None:
        """Set several at once."""
        new = {str(key): plain(value) for key, value in {**_readable(values), **more}.items()}
        self._values.update(new)
        if new:
            self._changed(new, [])

    def as_dict(self) -> dict[str, Any]:
        """A copy."""
        return dict(self._values)

    def _inside(self, path: tuple[str, ...], new: dict[str, Any], gone: list[str]) -> None:
        """Something changed inside of a value. The record holds all of that value: rows replace it whole, too."""
        top, *rest = path
        self.update({top: changed(self._values.get(top), tuple(rest), new, gone)})

    def __getitem__(self, key: str) -> Any:
        return branched(self._values[key], (key,), self._inside)

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._changed({}, [key])

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"summary has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __reduce_ex__(self, _: Any) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        # As its branches: a copy is no view of the run, and opens where respool is not installed.
        return dict, (dict(self._values),)

    def __repr__(self) -> str:
        return f"Summary({self._values!r})"


def _readable(values: Any) -> dict[Any, Any]:
    try:
        return dict(values)
    except (TypeError, ValueError):
        cause = f"summary.update() was given {notices.shown(values)}, from which no keys can be read"
        notices.misused("summary", cause, "the call is ignored", "Pass a dict")
        return {}
