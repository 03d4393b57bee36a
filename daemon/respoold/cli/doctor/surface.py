"""What `import respool` has, read from its source: nothing is imported for it, Keras least of all."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from enum import Enum, auto
from functools import cache
from typing import NamedTuple

import respool
from respool import compat
from respool.run_handle import Run

_HOME = os.path.dirname(respool.__file__)
_LATE = frozenset(
    {*respool._OF_RUN, *respool._ELSEWHERE, *respool._MODULES, "run", "Run", "Config", "config"}
)


class Kept(Enum):
    """What becomes of a use: it works, it keeps nothing, or it raises."""

    YES = auto()
    NOTHING = auto()
    RAISES = auto()


class Verdict(NamedTuple):
    """`name` is the use up to the part that decided."""

    kept: Kept
    name: str


def verdict(path: tuple[str, ...]) -> Verdict:
    """How `respool.a.b` fares, as ("a", "b"). Only modules and the run are looked into: what a class has is its own."""
    if path[:1] == ("run",):
        known = len(path) == 1 or path[1] in run_names() or path[1].startswith("_")
        return Verdict(Kept.YES if known else Kept.NOTHING, ".".join(path[:2]))
    for depth, name in enumerate(path):
        source = _source(path[:depth])
        if source is None:
            break
        if _source(path[: depth + 1]) is None and name not in _names(source):
            lenient = depth > 0 and "__getattr__" in _names(source)
            absent = lenient or (depth == 0 and name in compat.NAMES)
            return Verdict(Kept.NOTHING if absent else Kept.RAISES, ".".join(path[: depth + 1]))
    return Verdict(Kept.YES, ".".join(path))


@cache
def run_names() -> frozenset[str]:
    """The attributes of a run: of its classes, what they set on themselves, and what a run of the Api has, which a
    script may call run as well.
    """
    own = [kind for kind in Run.__mro__ if kind.__module__.startswith("respool.")]
    sources = {_source(tuple(kind.__module__.split(".")[1:])) for kind in own}
    set_there = {name for source in sources if source for name in _set_on_self(source)}
    read = _tree(os.path.join(_HOME, "apis", "run.py"))
    of_api = {node.name for node in ast.walk(read) if isinstance(node, ast.FunctionDef)}
    return frozenset({*dir(Run), *set_there, *of_api})


def _set_on_self(source: str) -> Iterator[str]:
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _source(path: tuple[str, ...]) -> str | None:
    """The file of the module respool.a.b."""
    place = os.path.join(_HOME, *path)
    for candidate in (os.path.join(place, "__init__.py"), f"{place}.py"):
        if os.path.isfile(candidate):
            return candidate
    return None


@cache
def _tree(source: str) -> ast.Module:
    with open(source, encoding="utf-8") as file:
        return ast.parse(file.read(), source)


@cache
def _names(source: str) -> frozenset[str]:
    found = {*_bound(_tree(source))}
    return frozenset(found | _LATE if source == os.path.join(_HOME, "__init__.py") else found)


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that a module's own lines bind, its functions' insides left out."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((one.asname or one.name).partition(".")[0] for one in names)
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case _:
                yield from _bound(child)
