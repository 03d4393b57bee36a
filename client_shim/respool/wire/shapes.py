"""Named tuples from maps that strangers sent: the one check between msgpack and our code.

A shape is a NamedTuple whose annotations are unions of int, float, str, bool, None, list[...] and dict[...].
A field we do not know is dropped, one that is missing takes its default, one of a wrong type is an error that
names it. What lies inside a list or a dict is the reader's own business.
"""

from __future__ import annotations

from typing import Any

from respool.wire.errors import FormatError

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "None": (type(None),),
    "list": (list,),
    "dict": (dict,),
    "bytes": (bytes,),
}


def build(cls: type[Any], values: Any) -> Any:
    """A `cls` from a map. Raises FormatError naming the shape and the field."""
    if not isinstance(values, dict):
        raise FormatError(f"{cls.__name__} is of type {type(values).__name__}, not a map")
    try:
        shape = cls(**{name: values[name] for name in cls._fields if name in values})
    except TypeError as error:
        raise FormatError(f"{cls.__name__} is incomplete: {error}") from error
    for name, annotation in cls.__annotations__.items():
        text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        if not _fits(getattr(shape, name), text):
            raise FormatError(f"{cls.__name__}.{name} is {getattr(shape, name)!r:.60}, not {text}")
    return shape


def _fits(value: Any, annotation: str) -> bool:
    names = [part.strip().partition("[")[0] for part in annotation.split("|")]
    if isinstance(value, bool):
        return "bool" in names
    return any(isinstance(value, _TYPES[name]) for name in names)
