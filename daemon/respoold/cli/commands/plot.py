"""Draw metrics of a run, or of several, in the terminal.

What a resumed attempt logged again replaces what it repeats; ticks on the axis show where attempts began. Every
point counts: where many fall on one place the least and the greatest are drawn.
"""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from respoold.cli import words
from respoold.cli.arguments import natural, positive
from respoold.cli.chart import LETTERS, Curve, draw, smoothed
from respoold.cli.errors import CommandError, Exit
from respoold.cli.history_rows import Query, rows
from respoold.cli.hub import Hub
from respoold.cli.runs import RunPath, add_run_argument, resolve
from respoold.cli.screen import Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool plot digits/mlp-1 loss
  respool plot mlp-1 train/loss val/loss --log --smooth 0.9
  respool plot mlp-1 loss --with mlp-2 --with mlp-3 --x epoch
  respool plot mlp-1 loss --spool respool/spool    no hub is asked
"""

STEP = "_step"
HEIGHT = 16


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    parser.add_argument("metrics", metavar="METRIC", nargs="+", help="what was logged: loss, val/acc ...")
    parser.add_argument(
        "--with", dest="others", metavar="RUN", action="append", default=[], help="the same of this run too"
    )
    parser.add_argument("--x", metavar="KEY", default=STEP, help="over this key, such as epoch or _runtime")
    parser.add_argument("--smooth", metavar="W", type=_weight, default=0.0, help="moving average, 0 to 0.999")
    parser.add_argument("--log", action="store_true", help="a logarithmic y axis")
    parser.add_argument("--min-step", metavar="N", type=natural, help="from step N on")
    parser.add_argument("--max-step", metavar="N", type=natural, help="up to step N")
    parser.add_argument("--height", metavar="N", type=positive, default=HEIGHT, help=f"lines ({HEIGHT})")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Draw them. Raises CommandError for a metric that holds no numbers."""
    count = (1 + len(args.others)) * len(args.metrics)
    if count > len(LETTERS):
        cause = f"{count} curves are more than a chart of {len(LETTERS)} can hold."
        raise CommandError(Exit.USAGE, cause, "Ask for fewer metrics or runs.")
    with open_source(args, screen) as hub:
        paths = [resolve(hub, name) for name in dict.fromkeys([args.run, *args.others])]
        curves = [curve for path in paths for curve in _curves(args, hub, path, screen)]
        marks = _begins(hub, paths[0]) if len(paths) == 1 and args.x == STEP else []
    if args.json:
        _emit(screen, args, paths, curves)
    else:
        _print(screen, args, paths, curves, marks)
    return Exit.DONE


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < 1:
        raise ArgumentTypeError(f"{text!r} is no weight from 0 to below 1")
    return weight


def _curves(args: Namespace, hub: Hub, path: RunPath, screen: Screen) -> list[Curve]:
    """A curve for each metric; both axes are numbers, the rest is counted and told."""
    points: dict[str, list[tuple[float, float]]] = {metric: [] for metric in args.metrics}
    seen, odd = dict.fromkeys(args.metrics, 0), 0
    query = Query(path, keys=(*args.metrics, args.x), min_step=args.min_step, max_step=args.max_step)
    for row in rows(hub, query):
        x = _finite(row.get(args.x))
        for metric in args.metrics:
            if metric in row:
                y = _finite(row[metric])
                seen[metric] += 1
                if x is None or y is None or (args.log and y <= 0):
                    odd += 1
                else:
                    points[metric].append((x, y))
    for metric, found in points.items():
        if not found:
            raise _no_numbers(args, hub, path, metric, seen[metric])
    if odd:
        kind = "no positive number" if args.log else "no number"
        screen.note(f"{words.counted(odd, 'value')} of {path} left out: {kind}, or without {args.x}.")
    return [_curve(args, path, metric, found) for metric, found in points.items()]


def _curve(args: Namespace, path: RunPath, metric: str, points: list[tuple[float, float]]) -> Curve:
    points.sort()
    ys = [y for _, y in points]
    label = f"{metric} of {path.project}/{path.run_id}" if args.others else metric
    shown = smoothed(ys, args.smooth) if args.smooth else ys
    return Curve(words.clean(label), [x for x, _ in points], shown)


def _finite(item: Any) -> float | None:
    if isinstance(item, bool):
        return float(item)
    # Twice it must be a number too: the height of a chart is a difference.
    return float(item) if isinstance(item, (int, float)) and math.isfinite(2.0 * item) else None


def _no_numbers(args: Namespace, hub: Hub, path: RunPath, metric: str, seen: int) -> CommandError:
    """Why there is nothing to draw, with what is near."""
    if seen:
        cause = f"The metric {metric!r} of {path} holds nothing that can be drawn here over {args.x}."
        return CommandError(Exit.USAGE, cause, f"`respool history {path} --keys {metric}` shows its values.")
    names = [name for name in hub.get(path.url()).get("summary") or {} if not name.startswith("_")]
    near = get_close_matches(metric, names, n=3, cutoff=0.5) or names[:8]
    there = f"There is: {', '.join(map(words.clean, near))}." if near else "It has logged nothing yet."
    return CommandError(Exit.USAGE, f"The run {path} has no metric {metric!r} there.", there)


def _begins(hub: Hub, path: RunPath) -> list[float]:
    """The first steps of the attempts that continued another, along the lineage."""
    attempts = hub.get(path.url()).get("attempts") or []
    later = [one for one in attempts if one.get("on_lineage") and one.get("parent")]
    return [float(one["first_step"]) for one in later if one.get("first_step") is not None]


def _print(
    screen: Screen, args: Namespace, paths: Sequence[RunPath], curves: list[Curve], marks: list[float]
) -> None:
    title = ", ".join(words.clean(f"{path.project}/{path.run_id}") for path in paths)
    over = "" if args.x == STEP else f" over {words.clean(args.x)}"
    how = f", smoothed {args.smooth:g}" if args.smooth else ""
    scale = ", logarithmic" if args.log else ""
    screen.say(f"{screen.paint(title, 'bold')}{over}{how}{scale}")
    for line in draw(curves, screen.width or 80, args.height, screen.paint, log=args.log, marks=marks):
        screen.say(line)
    if marks:
        screen.say("╂  where a later attempt went on", "dim")


def _emit(screen: Screen, args: Namespace, paths: Sequence[RunPath], curves: list[Curve]) -> None:
    owners = [(path, metric) for path in paths for metric in args.metrics]
    for (path, metric), curve in zip(owners, curves, strict=True):
        for x, y in zip(curve.xs, curve.ys, strict=True):
            screen.emit({"run": str(path), "metric": metric, "x": x, "y": y})
