"""Under which names a script uses our module or W&B's: aliases, names imported from it, runs that it keeps."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_OURS = frozenset({"wandb", "respool"})
_RUN = ("run",)
_INIT = ("init",)


class Spelled:
    """What the names of a script stand for, as a path below the module: () is the module, ("run",) a run."""

    def __init__(self, tree: ast.Module) -> None:
        self._paths: dict[str, tuple[str, ...]] = {}
        for node in ast.walk(tree):
            self._paths.update(_imported(node))
        others = False
        for target, value in _assignments(tree):
            if self.path(value) == _RUN:
                self._paths[target] = _RUN
            others |= target == "run"
        # What is called run, and nothing else by the script's own lines, is one: a function's argument.
        if self._paths and not others:
            self._paths.setdefault("run", _RUN)

    def path(self, node: ast.expr | None) -> tuple[str, ...] | None:
        """`wandb.sdk.x` as ("sdk", "x"), `run.log` as ("run", "log"); None for what is not of ours."""
        match node:
            case ast.Name(id=name):
                return self._paths.get(name)
            case ast.Call(func=called):
                return _RUN if self.path(called) == _INIT else None
            case ast.Attribute(value=owner, attr=name):
                whole = dotted(node)
                known = self._paths.get(whole) if "." in whole else None
                above = self.path(owner) if known is None else None
                return known if above is None else (*above, name)
        return None


def dotted(node: ast.expr) -> str:
    """`a.b.c` as it is written; what is before the first name is left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def imports(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(module, path) of what a line imports of ours: ("wandb", ("sdk", "x"))."""
    match node:
        case ast.Import(names=names):
            parts = [one.name.split(".") for one in names]
            yield from ((first, tuple(rest)) for first, *rest in parts if first in _OURS)
        case ast.ImportFrom(module=str(module), names=names, level=0) if module.split(".")[0] in _OURS:
            first, *rest = module.split(".")
            yield from ((first, (*rest, one.name)) for one in names)


def _imported(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    found = imports(node)
    if isinstance(node, ast.ImportFrom):
        yield from ((one.asname or one.name, path) for one, (_, path) in zip(node.names, found, strict=False))
    elif isinstance(node, ast.Import):
        ours = [one for one in node.names if one.name.split(".")[0] in _OURS]
        for one, (module, path) in zip(ours, found, strict=True):
            yield (one.asname, path) if one.asname else (module, ())


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None]]:
    """Every name that is given something, `self.run` too, with what it is given."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((dotted(target), value) for target in targets)
            case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                yield dotted(target), value
            case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                yield dotted(target), value
            case ast.For(target=target) | ast.comprehension(target=target):
                yield dotted(target), None
