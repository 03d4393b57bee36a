"""`run.config`: what the run was started with. A dict that also takes attributes; each change is a record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from respool import notices
from respool.config_room import ConfigRoom
from respool.errors import UsageError


class Config(MutableMapping[str, Any]):
    """Keys in the order in which they came. `changed` is called with what was set and what was removed, after
    the change is visible here.
    """

    def __init__(
        self,
        values: dict[str, Any],
        changed: Callable[[dict[str, Any], list[str]], None],
        *,
        strict: bool = False,
    ) -> None:
        self.__dict__["_values"] = values
        self.__dict__["_changed"] = changed
        self.__dict__["_strict"] = strict
        self.__dict__["_locked"] = {}
        self.__dict__["_room"] = ConfigRoom(values, strict=strict)

    def update(self, values: Any = (), /, allow_val_change: bool | None = None, **more: Any) -> None:
        """Set several at once. A key that had another value is changed with a warning, or raises UsageError in
        strict mode, unless `allow_val_change`. What is changed inside of a value is recorded when it is set again,
        or with `persist`.
        """
        given = self._unlocked({**self._readable(values), **more})
        if not allow_val_change:
            self._guard(given)
        self.absorb(given)

    def absorb(self, given: dict[str, Any], *, record: bool = True) -> None:
        """Set these, whatever they were. `record=False`: somebody else records them."""
        # A list or a dict may be the very object that is here, and have changed inside.
        new = {
            key: value
            for key, value in given.items()
            if isinstance(value, (dict, list)) or not self._has(key, value)
        }
        recorded = self._room.take(new)
        self._values.update(new)
        if new and record:
            self._changed(recorded, [])

    def persist(self) -> None:
        """Record all of it: what was changed inside of its values, too."""
        self._changed(self._room.take(dict(self._values)), [])

    def recorded(self) -> dict[str, Any]:
        """All of it as it is recorded."""
        return {**self._values, **self._room.stand_ins}

    def update_locked(
        self, values: Any, user: str | None = None, _allow_val_change: bool | None = None
    ) -> None:
        """Set these and keep them, whatever the script sets later."""
        given = self._readable(values)
        if not _allow_val_change:
            self._guard(given)
        self.absorb(given)
        self.lock(given, user)

    def merge_locked(
        self, values: Any, user: str | None = None, _allow_val_change: bool | None = None
    ) -> None:
        """As `update_locked`, dicts inside being merged into those that are here."""
        given = {key: _merged(self._values.get(key), value) for key, value in self._readable(values).items()}
        self.update_locked(given, user, _allow_val_change)

    def lock(self, keys: Any, owner: str | None = None) -> None:
        """These keys keep their values, whatever the script sets."""
        self._locked.update(dict.fromkeys(keys, owner or "update_locked()"))

    def _unlocked(self, given: dict[str, Any]) -> dict[str, Any]:
        held = [key for key in given if key in self._locked and not self._has(key, given[key])]
        for key in held:
            notices.warn(
                f"locked {key}",
                f"config {key!r} belongs to {self._locked[key]}; {notices.shown(given[key])} is ignored.",
            )
        return {key: value for key, value in given.items() if key not in held}

    def setdefaults(self, values: Any) -> dict[str, Any]:
        """Set what is not set yet; returns the whole config."""
        self.update({key: value for key, value in self._readable(values).items() if key not in self._values})
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """A copy."""
        return dict(self._values)

    def _readable(self, values: Any) -> dict[str, Any]:
        try:
            return mapping_of(values)
        except UsageError as error:
            if self._strict:
                raise
            notices.warn("config", f"{error} The call is ignored.")
            return {}

    def _guard(self, given: dict[str, Any]) -> None:
        for key, value in given.items():
            if key in self._values and not self._has(key, value):
                text = f"config {key!r} changes from {notices.shown(self._values[key])} to {notices.shown(value)}"
                if self._strict:
                    raise UsageError(f"{text}. Pass allow_val_change=True to config.update() if it is meant.")
                notices.warn(f"config {key}", f"{text}; allow_val_change=True says that it is meant.")

    def _has(self, key: str, value: Any) -> bool:
        if key not in self._values:
            return False
        try:
            return bool(self._values[key] == value) and type(self._values[key]) is type(value)
        except (ValueError, TypeError, RuntimeError):
            return self._values[key] is value

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._room.forget([key])
        self._changed({}, [key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"config has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __copy__(self) -> Config:
        return Config(dict(self._values), _unrecorded)

    def __deepcopy__(self, memo: dict[int, Any]) -> Config:
        from copy import deepcopy  # noqa: PLC0415 - who asks for this has loaded it

        return Config(deepcopy(self._values, memo), _unrecorded)

    def __reduce_ex__(self, _: Any) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        # Pickled, in a checkpoint or for a worker, it is a plain dict, which opens where respool is not installed.
        return dict, (dict(self._values),)

    def __repr__(self) -> str:
        return f"Config({self._values!r})"


def _unrecorded(_: dict[str, Any], __: list[str]) -> None:
    """What is changed in a copy is nobody's business."""


def mapping_of(values: Any) -> dict[str, Any]:
    """A dict from what scripts pass as a config: a mapping, pairs, the path of a YAML or JSON file, absl's flags, or an
    object with attributes (argparse). Raises UsageError.
    """
    if values is None:
        return {}
    if isinstance(values, (str, os.PathLike)):
        from respool import config_file  # noqa: PLC0415 - few pass a file

        return config_file.read(values)
    if isinstance(values, Config):
        return values.as_dict()
    if hasattr(values, "keys") or not hasattr(values, "__dict__"):
        try:
            return {str(key): value for key, value in dict(values).items()}
        except (TypeError, ValueError):
            raise UsageError(
                f"config is {notices.shown(values)}, from which no keys can be read. Pass a dict, an "
                "argparse.Namespace or the path of a YAML file."
            ) from None
    flags = getattr(values, "flag_values_dict", None)
    return dict(flags() if callable(flags) else vars(values))


def _merged(known: Any, new: Any) -> Any:
    if not (isinstance(known, dict) and isinstance(new, dict)):
        return new
    return {**known, **{key: _merged(known.get(key), value) for key, value in new.items()}}
