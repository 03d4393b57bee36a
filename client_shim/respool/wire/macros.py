"""What a sweep's `command:` may hold besides words: W&B's macros, each a word of its own, and `${program}` and
`${envvar:NAME}` anywhere in one.
"""

from __future__ import annotations

import re

WORDS = (
    "${env}",
    "${interpreter}",
    "${program}",
    "${args}",
    "${args_no_hyphens}",
    "${args_no_equals}",
    "${args_no_boolean_flags}",
    "${args_append_hydra}",
    "${args_override_hydra}",
    "${args_json}",
    "${args_json_file}",
)
KNOWN = ", ".join([*WORDS, "${envvar:NAME}"])
VARIABLE = re.compile(r"\$\{envvar:([^}]+)\}")
_MACRO = re.compile(r"\$\{[^}]*\}")


def unknown_in(word: str) -> str | None:
    """The macro in a word that means nothing there, if any."""
    found = None if word in WORDS else _MACRO.search(VARIABLE.sub("", word.replace("${program}", "")))
    return found[0] if found else None
