"""Watch a training get killed, resume where it was, and end as one history.

A small network learns scikit-learn's handwritten digits. On the way the
trainer, the daemon and the hub are killed with SIGKILL. At the end every row is
counted: exit code 0 only if each step is there once, with the value that was
logged. Everything happens in a temporary folder; nothing is left behind.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from importlib.util import find_spec

from respoold.cli.arguments import positive
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool demo
  respool demo --keep ./demo      keep the folder: spool, hub, logs, truths
  respool demo --steps 4000       a longer training
"""

STEPS = 1200
LEAST = 400


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--keep", metavar="DIR", help="do it in DIR, a new folder, and leave it there")
    parser.add_argument(
        "--steps", metavar="N", type=_steps, default=STEPS, help=f"steps of training ({STEPS})"
    )


def run(args: Namespace, screen: Screen) -> int:
    """Play it."""
    for module in ("sklearn", "numpy", "plotille", "uvicorn", "trio"):
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    from respoold.cli.demo.play import play  # noqa: PLC0415 - needs what was looked for just now

    return play(screen, args.keep, args.steps)


def _steps(text: str) -> int:
    if positive(text) < LEAST:
        raise ArgumentTypeError(f"{text} steps are too few to be killed in: take {LEAST} or more")
    return int(text)
