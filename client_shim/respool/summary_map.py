"""`run.summary`: the last value of each metric, or what the script says instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any


class Summary(MutableMapping[str, Any]):
    """A live view of `values`, into which rows are folded as they are logged. Writing here is a record of its
    own: `changed` is called with what was set and what was removed.
    """

    def __init__(self, values: dict[str, Any], changed: Callable[[dict[str, Any], list[str]], None]) -> None:
        self.__dict__["_values"] = values
        self.__dict__["_changed"] = changed

    def update(self, values: Any = (), /, **more: Any) -> None:
        """Set several at once."""
        new = {str(key): value for key, value in {**dict(values), **more}.items()}
        self._values.update(new)
        if new:
            self._changed(new, [])

    def as_dict(self) -> dict[str, Any]:
        """A copy."""
        return dict(self._values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

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
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"summary has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return f"Summary({self._values!r})"
