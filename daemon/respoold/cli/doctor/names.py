"""What a script imports and calls of W&B, and what of it respool lacks."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import chain

import respool
from respool.media.image import NOT_KEPT
from respoold.cli.doctor.finding import Finding, Level
from respoold.cli.doctor.spelled import Spelled, imports
from respoold.cli.doctor.surface import Kept, verdict

_TAKEN = frozenset(inspect.signature(respool.init).parameters) | {
    "config_exclude_keys",
    "config_include_keys",
}
_RAISES = frozenset({"resume_from", "fork_from"})
_LOGGING = frozenset({"sync_tensorboard", "monitor_gym"})
_INSTEAD = {
    "attach": "Say init(join=True) in the further process.",
    "controller": "The hub runs the sweep: respool sweep FILE.",
    "helper": "Pass a plain dict as config.",
    "lightgbm": "Log what you need in a callback of your own.",
    "log_code": "The commit is recorded anyway; keep files by save('*.py').",
    "sklearn": "Log the numbers, or a figure as Image.",
    "tensorboard": "Log the scalars with log().",
    "to_html": "See the run at run.url.",
    "xgboost": "Log what you need in a callback of your own.",
}
"""What to write for the commonest that keep nothing."""


def check(tree: ast.Module, spelled: Spelled) -> list[Finding]:
    """Imports to change, names that keep nothing or are not there, arguments without effect."""
    found = (_imports(tree), _lacking(tree, spelled), _arguments(tree, spelled), _parts(tree, spelled))
    return list(chain.from_iterable(found))


def _imports(tree: ast.Module) -> Iterator[Finding]:
    nodes = [node for node in ast.walk(tree) if any(True for _ in imports(node))]
    # Who imports respool too falls back on W&B by intent, where respool is not installed.
    meant = any(module == "respool" for node in nodes for module, _ in imports(node))
    for node in nodes:
        if any(module == "wandb" for module, _ in imports(node)):
            cause = f"`{ast.unparse(node)}` loads W&B, so nothing comes to respool."
            advice = f"Write: {ast.unparse(_ours(node))}"
            yield Finding(Level.WARN if meant else Level.BAD, "import", cause, advice, _line(node))


def _ours(node: ast.AST) -> ast.AST:
    """The same line, importing respool."""
    if isinstance(node, ast.ImportFrom):
        return ast.ImportFrom(f"respool{(node.module or '').removeprefix('wandb')}", node.names, 0)
    names = [_renamed(one) for one in node.names] if isinstance(node, ast.Import) else []
    return ast.Import(names)


def _renamed(one: ast.alias) -> ast.alias:
    first, *rest = one.name.split(".")
    if first != "wandb":
        return one
    # `import respool.a as wandb` would bind the part: who writes `import wandb.a` means the whole.
    return ast.alias(".".join(["respool", *rest]) if one.asname else "respool", one.asname or "wandb")


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _lacking(tree: ast.Module, spelled: Spelled) -> Iterator[Finding]:
    told: set[str] = set()
    for node, path in _uses(tree, spelled):
        found = verdict(path)
        if found.kept is Kept.YES or found.name in told:
            continue
        told.add(found.name)
        if found.kept is Kept.NOTHING:
            cause = f"{found.name} has no effect in respool: what is passed to it is not kept."
            advice = _INSTEAD.get(found.name.rpartition(".")[2], "Log or save() what you need of it.")
            yield Finding(Level.WARN, "call", cause, advice, _line(node))
        else:
            kind = "ImportError" if isinstance(node, ast.Import | ast.ImportFrom) else "AttributeError"
            cause = f"There is no {found.name!r} in respool: this line raises {kind}."
            yield Finding(Level.BAD, "call", cause, "Remove it, or check its spelling.", _line(node))


def _uses(tree: ast.Module, spelled: Spelled) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    """What the script names of the module and of its runs, outermost first, so that `a.b.c` is said once."""
    for node in ast.walk(tree):
        yield from ((node, path) for _, path in imports(node) if path[-1:] != ("*",))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            path = spelled.path(node)
            if path:
                yield node, path


def _arguments(tree: ast.Module, spelled: Spelled) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or spelled.path(node.func) != ("init",):
            continue
        given = [word.arg for word in node.keywords if word.arg and word.arg not in _TAKEN]
        raising = [name for name in given if name in _RAISES]
        if raising:
            cause = f"init({raising[0]}=) raises UsageError in respool."
            advice = "Say resume='allow' with the run's id, then run.rewind(step)."
            yield Finding(Level.BAD, "call", cause, advice, node.lineno)
        logging = [name for name in given if name in _LOGGING]
        if logging:
            cause = f"init({_spelled(logging)}) has no effect in respool: nothing is logged by it."
            yield Finding(Level.WARN, "call", cause, "Log the scalars with log().", node.lineno)
        others = [name for name in given if name not in _RAISES | _LOGGING]
        if others:
            cause = f"init({_spelled(others)}) has no effect in respool."
            yield Finding(Level.NOTE, "call", cause, "Leave it out, or log what you need of it.", node.lineno)


def _parts(tree: ast.Module, spelled: Spelled) -> Iterator[Finding]:
    """Arguments of media that are not kept with them."""
    for node in ast.walk(tree):
        path = spelled.path(node.func) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and path == ("Image",):
            given = [word.arg for word in node.keywords if word.arg in NOT_KEPT]
            if given:
                cause = f"Image({_spelled(given)}): the picture is kept, these are not."
                yield Finding(Level.WARN, "call", cause, "Draw them into the picture.", node.lineno)


def _spelled(names: list[str]) -> str:
    return ", ".join(f"{name}=" for name in names)
