"""Print the logged rows of a run, one line a step in step order.

On a terminal the last 20 steps; into a pipe or a file all of them. What a resumed attempt logged again
replaces what it repeats; --all shows every record as it was written, hidden ones too.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from typing import Any

from respoold.cli import parquet, words
from respoold.cli.arguments import natural, positive
from respoold.cli.errors import CommandError, Exit
from respoold.cli.exported import write_csv
from respoold.cli.history_rows import Query, Row, head, keys_of, rows, tail
from respoold.cli.hub import Hub
from respoold.cli.media_words import brief
from respoold.cli.runs import add_run_argument, resolve
from respoold.cli.screen import GAP, MOST, Cell, Column, Screen, columns_of, pad
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool history digits/mlp-1                  the last 20 steps
  respool history mlp-1 --keys loss --tail 5
  respool history mlp-1 --csv > history.csv     all of it
  respool history mlp-1 --parquet history.parquet
  respool history mlp-1 --spool /mnt/carried    no hub is asked
  respool history mlp-1 --json | jq .loss
  respool history mlp-1 --all --attempt 1       replaced rows too
"""

SHOWN = 20
_OURS = ("_attempt", "_writer", "_seq", "_step")
_QUIET = frozenset({"_timestamp", "_runtime", "_hidden"})


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--head", metavar="N", type=positive, help="the first N lines")
    part.add_argument("--tail", metavar="N", type=positive, help="the last N lines")
    parser.add_argument(
        "--keys", metavar="A,B", help="only these keys; rows without any of them are left out"
    )
    parser.add_argument("--min-step", metavar="N", type=natural, help="from step N on")
    parser.add_argument("--max-step", metavar="N", type=natural, help="up to step N")
    parser.add_argument("--all", action="store_true", help="every record, with _attempt, _writer and _seq")
    parser.add_argument("--attempt", metavar="N", type=positive, help="the history as attempt N saw it")
    parser.add_argument(
        "--writer", metavar="N", type=natural, help="the records of one process (implies --all)"
    )
    parser.add_argument("--csv", action="store_true", help="comma-separated, with a line of names")
    parser.add_argument("--parquet", metavar="FILE", help="write a Parquet file (needs pyarrow)")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print them. A run without rows is no bad state."""
    forms = [name for name in ("--csv", "--json", "--parquet") if getattr(args, name[2:])]
    if len(forms) > 1:
        raise CommandError(Exit.USAGE, f"{' and '.join(forms)} exclude each other.", "Choose one of them.")
    with open_source(args, screen) as hub:
        query = _query(args, hub)
        if args.parquet:
            _write_parquet(screen, args, hub, query)
        elif args.json:
            _print_json(screen, _some(args, hub, query) or rows(hub, query))
        elif args.csv:
            _print_csv(screen, hub, query, _some(args, hub, query))
        elif screen.live or args.head or args.tail:
            _print_table(screen, args, _some(args, hub, query) or tail(hub, query, SHOWN))
        else:
            _print_all(screen, hub, query)
    return Exit.DONE


def _query(args: Namespace, hub: Hub) -> Query:
    return Query(
        run=resolve(hub, args.run),
        everything=args.all or args.writer is not None,
        attempt=args.attempt,
        writer=args.writer,
        keys=_keys(args.keys),
        min_step=args.min_step,
        max_step=args.max_step,
    )


def _keys(text: str | None) -> tuple[str, ...]:
    return tuple(key for key in (text or "").split(",") if key)


def _some(args: Namespace, hub: Hub, query: Query) -> list[Row] | None:
    """The part that was asked for, or None for all."""
    if args.head:
        return head(hub, query, args.head)
    return tail(hub, query, args.tail) if args.tail else None


def _print_json(screen: Screen, found: Iterable[Row]) -> None:
    for row in found:
        screen.emit(row)


def _write_parquet(screen: Screen, args: Namespace, hub: Hub, query: Query) -> None:
    some = _some(args, hub, query)
    count, columns = parquet.write(args.parquet, lambda: rows(hub, query) if some is None else some)
    screen.note(f"{args.parquet}: {words.counted(count, 'row')}, {words.counted(columns, 'column')}")


def _print_csv(screen: Screen, hub: Hub, query: Query, some: list[Row] | None) -> None:
    write_csv(screen.out, lambda: rows(hub, query) if some is None else some)


def _print_table(screen: Screen, args: Namespace, found: list[Row]) -> None:
    if not found:
        screen.note("No rows.")
        return
    names = _columns(keys_of(found), _keys(args.keys))
    columns = [Column(name.lstrip("_"), right=True, rank=at + 1) for at, name in enumerate(names)]
    columns = [
        column._replace(rank=0) if name in _OURS else column
        for column, name in zip(columns, names, strict=True)
    ]
    lines = [[_cell(row, name) for name in names] for row in found]
    hidden = screen.table(columns, lines)
    if hidden:
        screen.note(f"No room for: {', '.join(hidden)} (--keys chooses, --json has all).")
    if not args.head and not args.tail and len(found) == SHOWN:
        screen.note(
            f"The last {SHOWN}. More: --tail N, --head N; everything: --csv or --json, or into a pipe."
        )


def _cell(row: Row, name: str) -> Cell:
    return Cell(_text(row, name), "dim" if row.get("_hidden") else "")


def _text(row: Row, name: str) -> str:
    item: Any = row.get(name)
    if name in _OURS:
        return words.count(item)
    return words.cut(brief(item), MOST) if name in row else ""


def _columns(names: list[str], asked: Sequence[str]) -> list[str]:
    ours = [name for name in _OURS if name in names]
    if asked:
        return ours + [name for name in asked if name not in ours]
    return ours + [name for name in names if name not in _OURS and name not in _QUIET]


def _print_all(screen: Screen, hub: Hub, query: Query) -> None:
    """An aligned table of any length: the first pass measures, the second prints."""
    widths: dict[str, int] = {}
    for row in rows(hub, query):
        for name in row:
            widths[name] = max(widths.get(name, columns_of(name.lstrip("_"))), columns_of(_text(row, name)))
    names = _columns(sorted(widths, key=lambda key: not key.startswith("_")), query.keys)
    if not names:
        screen.note("No rows.")
        return
    for name in names:
        widths.setdefault(name, columns_of(name))
    screen.say(GAP.join(pad(name.lstrip("_"), widths[name], right=True) for name in names))
    for row in rows(hub, query):
        line = GAP.join(pad(_text(row, name), widths[name], right=True) for name in names)
        print(line.rstrip(), file=screen.out)
