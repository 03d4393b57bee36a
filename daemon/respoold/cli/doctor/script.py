"""A training script, read and never run: what it imports, calls that keep nothing, and patterns that lose work."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from respoold.cli.doctor import names
from respoold.cli.doctor.finding import Finding, Level
from respoold.cli.doctor.spelled import Spelled, dotted

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
    spelled = Spelled(tree)
    calls = list(_calls(tree, spelled))
    found = [*names.check(tree, spelled), *_beginning(calls), *_files(tree, calls), *_steps(tree, calls)]
    return sorted(found, key=lambda one: one.line)


def _calls(tree: ast.Module, spelled: Spelled) -> Iterator[Call]:
    for node in ast.walk(tree):
        path = spelled.path(node.func) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and path:
            yield Call(path[-1], node)


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
        made = dotted(run_id.func) if isinstance(run_id, ast.Call) else ""
        if resume is not None and made.rpartition(".")[2] in _RANDOM:
            cause = "init(id=) is made anew at every start, so resume= finds nothing."
            yield Finding(Level.BAD, "resume", cause, "Leave id= out and say resume=True.", line)


def _files(tree: ast.Module, calls: list[Call]) -> Iterator[Finding]:
    """Checkpoints that are written and not kept, kept before they are written, and never read again."""
    written = [
        (ast.dump(node.args[1]), node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) == "torch.save" and len(node.args) > 1
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
