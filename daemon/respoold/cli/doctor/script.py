"""A training script, read and never run: what it imports, calls that keep nothing, and patterns that lose work."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

import respool
from respool import compat
from respoold.cli.doctor.finding import Finding, Level

_OURS = frozenset({"wandb", "respool"})
_RANDOM = frozenset({"generate_id", "uuid1", "uuid4", "token_hex", "time"})


class Call(NamedTuple):
    """A call of something of ours: `name` is what of the module or the run is called."""

    name: str
    node: ast.Call

    def argument(self, name: str, position: int = -1) -> ast.expr | None:
        given = {word.arg: word.value for word in self.node.keywords}
        if name in given:
            return given[name]
        return self.node.args[position] if 0 <= position < len(self.node.args) else None


def check(text: str, path: str) -> list[Finding]:
    """All that is to be said of a script. Raises SyntaxError for what is no Python."""
    tree = ast.parse(text, path)
    modules, imports = _imports(tree)
    runs = {"run"} | _assigned(tree, modules)
    calls = list(_calls(tree, modules, runs))
    found = [
        *imports,
        *_absent(tree, modules),
        *_beginning(calls),
        *_files(tree, calls),
        *_steps(tree, calls),
    ]
    return sorted(found, key=lambda one: one.line)


def _imports(tree: ast.Module) -> tuple[set[str], list[Finding]]:
    """Under which names our module or W&B's goes; the lines to change."""
    names: set[str] = set()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                if one.name in _OURS:
                    names.add(one.asname or one.name)
                if one.name == "wandb":
                    new = f"import respool as {one.asname or 'wandb'}"
                    found.append(_change(node.lineno, "import wandb", new))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "wandb":
            rest = (node.module or "").partition(".")[2]
            new = (
                f"from respool{'.' + rest if rest else ''} import {', '.join(one.name for one in node.names)}"
            )
            found.append(_change(node.lineno, f"from {node.module} import", new))
    return names, found


def _change(line: int, old: str, new: str) -> Finding:
    return Finding(
        Level.WARN, "import", f"`{old}` loads W&B, so nothing comes to respool.", f"Write: {new}", line
    )


def _assigned(tree: ast.Module, modules: set[str]) -> set[str]:
    """Names that a run is given: `run = wandb.init()`, `with wandb.init() as run`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        value, target = None, None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            value, target = node.value, node.targets[0]
        elif isinstance(node, ast.withitem):
            value, target = node.context_expr, node.optional_vars
        init = isinstance(value, ast.Call) and _of(value.func, modules) == "init"
        if init and isinstance(target, ast.Name):
            found.add(target.id)
    return found


def _of(node: ast.expr, owners: set[str]) -> str | None:
    """`log` of `wandb.log` and of `run.log`, where wandb or run is one of `owners`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in owners:
        return node.attr
    return None


def _calls(tree: ast.Module, modules: set[str], runs: set[str]) -> Iterator[Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = _of(node.func, modules | runs)
            if name is not None:
                yield Call(name, node)


def _absent(tree: ast.Module, modules: set[str]) -> Iterator[Finding]:
    """Names of the module that keep nothing here, or that nobody has."""
    told: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        name = _of(node, modules)
        if name is None or name in told:
            continue
        told.add(name)
        if name in compat.NAMES:
            cause = f"{name} has no effect in respool: what is passed to it is not kept."
            yield Finding(Level.WARN, "call", cause, "Log or save() what you need of it.", node.lineno)
        elif not _known(name):
            cause = f"There is no {name!r} in respool: this line raises AttributeError."
            yield Finding(Level.BAD, "call", cause, "Remove it, or check its spelling.", node.lineno)


def _known(name: str) -> bool:
    elsewhere = {*respool._OF_RUN, *respool._ELSEWHERE, *respool._MODULES}
    return name in vars(respool) or name in {*respool.__all__, *elsewhere, "run", "Run", "Config", "config"}


def _beginning(calls: list[Call]) -> Iterator[Finding]:
    inits = [call for call in calls if call.name == "init"]
    for call in inits:
        resume, run_id = call.argument("resume"), call.argument("id")
        line = call.node.lineno
        mode = call.argument("mode")
        nothing_kept = isinstance(mode, ast.Constant) and mode.value == "disabled"
        if nothing_kept or any(word.arg is None for word in call.node.keywords):
            continue
        if resume is None:
            cause = "init() has no resume=: a job that is started again begins a new run."
            yield Finding(Level.WARN, "resume", cause, "Say init(..., resume=True).", line)
        elif isinstance(resume, ast.Constant) and resume.value in {"allow", "must"} and run_id is None:
            cause = (
                f"init(resume={resume.value!r}) has no id=: without RESPOOL_RUN_ID every start is a new run."
            )
            yield Finding(Level.WARN, "resume", cause, "Say id=, or resume=True to find it again.", line)
        made = _dotted(run_id.func) if isinstance(run_id, ast.Call) else ""
        if resume is not None and made.rpartition(".")[2] in _RANDOM:
            cause = "init(id=) is made anew at every start, so resume= finds nothing."
            yield Finding(Level.BAD, "resume", cause, "Leave id= out and say resume=True.", line)


def _files(tree: ast.Module, calls: list[Call]) -> Iterator[Finding]:
    """Checkpoints that are written and not kept, kept before they are written, and never read again."""
    written = [
        (ast.dump(node.args[1]), node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _dotted(node.func) == "torch.save" and len(node.args) > 1
    ]
    kept = [call for call in calls if call.name == "save"]
    if written and not kept and not any(call.name in {"checkpoint", "log_artifact"} for call in calls):
        cause = "torch.save() writes checkpoints that nothing keeps: another node cannot resume from them."
        advice = "Write them into run.checkpoint(step), or save() the path afterwards."
        yield Finding(Level.WARN, "checkpoint", cause, advice, written[0][1].lineno)
    for call in kept:
        path = call.argument("glob_str", 0) or call.argument("path", 0)
        mine = [node.lineno for dumped, node in written if path is not None and dumped == ast.dump(path)]
        if mine and all(line > call.node.lineno for line in mine):
            cause = f"save() takes the file as it is then, and torch.save() writes it in line {mine[0]} only."
            yield Finding(
                Level.WARN, "checkpoint", cause, "Call save() after torch.save().", call.node.lineno
            )
    reads = {"restore", "use_artifact", "latest_checkpoint"}
    resumes = [call for call in calls if call.name == "init" and call.argument("resume") is not None]
    if resumes and (kept or written) and not any(call.name in reads for call in calls):
        cause = "The run is resumed, but no checkpoint is read: training begins at its start again."
        advice = "Load run.latest_checkpoint(), or restore(name), when run.resumed is true."
        yield Finding(Level.WARN, "checkpoint", cause, advice, resumes[0].node.lineno)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def _steps(tree: ast.Module, calls: list[Call]) -> Iterator[Finding]:
    """log(step=x) where x counts from 0 again at every start, or in every round of an outer loop."""
    logged = {call.node: call.argument("step", 1) for call in calls if call.name == "log"}
    resumes = any(call.name == "init" and call.argument("resume") is not None for call in calls)
    for node, outer in _loops(tree, None):
        begins = _begins_at_nought(node.iter)
        inside = [call for call in ast.walk(node) if call in logged] if begins else []
        for call in inside:
            step = logged[call]
            if (
                not isinstance(step, ast.Name)
                or not isinstance(node.target, ast.Name)
                or step.id != node.target.id
            ):
                continue
            if outer is not None:
                cause = (
                    f"log(step={step.id}) begins at 0 again in each round of the loop in line {outer.lineno}."
                )
                yield Finding(Level.WARN, "step", cause, "Leave step= out, or count on.", call.lineno)
            elif resumes:
                cause = (
                    f"log(step={step.id}) begins at 0 after a resume too, which hides what was logged before."
                )
                advice = f"Begin with range(run.starting_step, ...), or at your checkpoint's {step.id} + 1."
                yield Finding(Level.WARN, "step", cause, advice, call.lineno)


def _loops(node: ast.AST, outer: ast.For | None) -> Iterator[tuple[ast.For, ast.For | None]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.For):
            yield child, outer
        yield from _loops(child, child if isinstance(child, ast.For) else outer)


def _begins_at_nought(node: ast.expr) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"):
        return False
    first = node.args[0] if len(node.args) > 1 else None
    return first is None or (isinstance(first, ast.Constant) and first.value == 0)
