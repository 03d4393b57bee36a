"""The commands `respool` and `respoold`: the base install's door to the extras.

The standard library is enough to get here. What a command needs beyond it comes with an extra; where that is
missing, one line says exactly what to install.
"""

from __future__ import annotations

import sys

_EXTRA_OF_COMMAND = {"demo": "demo", "up": "all", "hub": "hub"}
_EXTRA_OF_MODULE = {"sklearn": "demo", "numpy": "demo"}
_DAEMON_MODULES = ("trio", "httpx", "watchdog", "blake3", "zstandard", "rich", "plotille", "respoold")
_HUB_MODULES = ("starlette", "uvicorn", "uvloop", "httptools", "respool_hub")
_MODULES = {*_DAEMON_MODULES, *_HUB_MODULES, *_EXTRA_OF_MODULE}
USAGE = 2


def main(argv: list[str] | None = None) -> int:
    """Run `respool ARGV`; returns the exit code. Raises nothing that was to be expected."""
    words = sys.argv[1:] if argv is None else argv
    try:
        from respoold.cli.main import main as run  # noqa: PLC0415 - the base install lives without it

        return run(words)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _MODULES:
            raise
        print(_advice(words, missing), file=sys.stderr)
        return USAGE


def daemon() -> int:
    """Run `respoold ARGV`, which is `respool daemon ARGV`."""
    return main(["daemon", *sys.argv[1:]])


def _advice(words: list[str], missing: str) -> str:
    command = next((word for word in words if not word.startswith("-")), "")
    extra = _EXTRA_OF_MODULE.get(missing) or _EXTRA_OF_COMMAND.get(command, "daemon")
    name = f"respool {command}".strip()
    return f'{name}: the package {missing!r} is not installed.\n  Install it: pip install "respool[{extra}]"'
