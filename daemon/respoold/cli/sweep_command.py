"""The command line of a sweep's run: W&B's words in `command:`, filled in."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from respool.wire import macros
from respoold.cli.errors import CommandError, Exit


def filled(
    command: Sequence[str],
    program: str,
    parameters: Mapping[str, Any],
    environ: Mapping[str, str],
    file: Callable[[], str],
) -> list[str]:
    """The words to run. `file` writes the parameters to a file and says where. Raises CommandError naming a word that
    means nothing, or the program that is missing.
    """
    lists = {
        "${args}": lambda: [f"--{key}={_text(value)}" for key, value in parameters.items()],
        "${args_no_hyphens}": lambda: [f"{key}={_text(value)}" for key, value in parameters.items()],
        "${args_no_equals}": lambda: [
            word for key, value in parameters.items() for word in (f"--{key}", _text(value))
        ],
        "${args_no_boolean_flags}": lambda: _flags(parameters),
        "${args_append_hydra}": lambda: [f"+{key}={_text(value)}" for key, value in parameters.items()],
        "${args_override_hydra}": lambda: [f"++{key}={_text(value)}" for key, value in parameters.items()],
        "${args_json}": lambda: [json.dumps(dict(parameters))],
        "${args_json_file}": lambda: [file()],
        "${env}": lambda: [shutil.which("env") or "/usr/bin/env"],
        "${interpreter}": lambda: [sys.executable],
        "${program}": lambda: [_program(program)],
    }
    found: list[str] = []
    for word in command:
        if word in lists:
            found += lists[word]()
            continue
        unknown = macros.unknown_in(word)
        if unknown is not None:
            cause = f"command has {unknown}, which means nothing."
            raise CommandError(Exit.USAGE, cause, f"It knows {macros.KNOWN}.")
        plain = word.replace("${program}", program)
        found.append(macros.VARIABLE.sub(lambda match: environ.get(match[1], ""), plain))
    return found


def _program(program: str) -> str:
    if not program:
        cause = "The sweep names no program, and its command wants one."
        raise CommandError(
            Exit.USAGE, cause, "Add `program: train.py` to it, or use respool.agent(id, function)."
        )
    if not os.path.exists(program) and shutil.which(program) is None:
        cause = f"The sweep's program {program} is not here, in {os.getcwd()}."
        raise CommandError(Exit.USAGE, cause, "Start the agent in the folder of the program.")
    return program


def _flags(parameters: Mapping[str, Any]) -> list[str]:
    given = {key: value for key, value in parameters.items() if value is not False}
    return [f"--{key}" if value is True else f"--{key}={_text(value)}" for key, value in given.items()]


def _text(value: Any) -> str:
    """As W&B writes it: texts plain, what is nested as JSON, numbers and booleans as Python does."""
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)
