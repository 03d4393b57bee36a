"""Look into the spool of this machine, and remove what is needed no more.

`ls` shows each attempt that lies here, what of it the hub has not, and what could be removed. `purge` removes what
the hub has entirely and what belongs to runs that were deleted there; with --force also what the hub never got,
which is then lost. Nothing of a process that lives is ever removed. A daemon that runs does it itself, for its
caller's own runs.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

import trio

from respool.wire.messages import SpoolRequest
from respoold.cli import words
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.errors import CommandError, Exit
from respoold.cli.places import here, registered_spools
from respoold.cli.screen import STATE_STYLE, Cell, Column, Screen
from respoold.config import ConfigError, load
from respoold.io.disk import SpoolBusyError, SpoolUnusableError
from respoold.tasks.purge import answer_alone

EXAMPLES = """
examples:
  respool spool ls
  respool spool purge                       all that the hub has
  respool spool purge digits/mlp-1 --force  also what it has not: that is lost
"""

_COLUMNS = (
    Column("RUN", shrink=True),
    Column("", right=True),
    Column("STATE"),
    Column("ROWS", right=True),
    Column("FILES", right=True),
    Column("UNSENT", right=True),
    Column("PURGE", shrink=True),
)
_PURGE = {"": "yes", "unsent": "with --force", "alive": "no, it runs"}


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ls|purge", required=True)
    purge = actions.add_parser("purge", help="remove what the hub has", allow_abbrev=False)
    purge.add_argument("runs", metavar="RUN", nargs="*", help="RUN_ID or PROJECT/RUN_ID (all)")
    purge.add_argument("--force", action="store_true", help="also what the hub has not; it is lost")
    purge.add_argument("--yes", action="store_true", help="do not ask before what is lost")
    for action in (purge, actions.add_parser("ls", help="what lies here", allow_abbrev=False)):
        action.add_argument("--spool", metavar="DIR", help="the folder of a daemon that does not run")
        action.add_argument("--all-users", action="store_true", help="everybody's, for root")
        action.add_argument("--json", action="store_true", help="one JSON object an attempt, for programs")


def run(args: Namespace, screen: Screen) -> int:
    """Do the one that was chosen."""
    found = _ask(args, SpoolRequest(all_users=args.all_users))
    if args.action == "ls":
        _show(args, screen, found)
        return Exit.DONE
    return _purge(args, screen, _chosen(found, args.runs))


def _ask(args: Namespace, asked: SpoolRequest) -> list[dict[str, Any]]:
    """By the daemon if one answers, else directly."""
    places = here()
    if args.spool is None:
        try:
            with open_daemon(places) as link:
                return link.spool(asked)
        except NoDaemonError:
            pass
    try:
        config = load({"spool": args.spool})
        folders = registered_spools(places) if args.spool is None else []
        return trio.run(answer_alone, config, folders, places.uid, asked).attempts
    except ConfigError as error:
        raise CommandError(Exit.USAGE, f"The configuration cannot be used: {error}") from error
    except (SpoolBusyError, SpoolUnusableError) as error:
        raise CommandError(Exit.USAGE, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def _chosen(found: list[dict[str, Any]], runs: list[str]) -> list[dict[str, Any]]:
    known = {name for one in found for name in (one["run_id"], f"{one['project']}/{one['run_id']}")}
    strange = [run for run in runs if run not in known]
    if strange:
        cause = f"Nothing of the run {strange[0]!r} lies in this spool."
        raise CommandError(Exit.USAGE, cause, "`respool spool ls` shows what does.")
    return [
        one
        for one in found
        if not runs or one["run_id"] in runs or f"{one['project']}/{one['run_id']}" in runs
    ]


def _purge(args: Namespace, screen: Screen, chosen: list[dict[str, Any]]) -> int:
    doomed = [one for one in chosen if one["keep"] == "" or (args.force and one["keep"] == "unsent")]
    lost = [one for one in doomed if one["keep"] == "unsent"]
    if lost and not args.yes and not _confirmed(screen, lost):
        screen.say("Nothing was removed.")
        return Exit.BAD
    names = [str(one["attempt_id"]) for one in doomed]
    asked = SpoolRequest(names, purge=True, force=args.force, all_users=args.all_users)
    gone = [one for one in _ask(args, asked) if one.get("purged")] if names else []
    if args.json:
        for one in gone:
            screen.emit(one)
        return Exit.DONE
    size = sum(int(one["row_bytes"]) + int(one["file_bytes"]) for one in gone)
    screen.say(f"Removed {words.counted(len(gone), 'attempt')}, {words.size(size)}.")
    kept = [one for one in chosen if one["keep"] == "unsent" and not args.force]
    if kept:
        count = words.counted(len(kept), "attempt")
        screen.note(f"  Kept {count} that the hub has not entirely; see `respool status`.")
    return Exit.DONE


def _confirmed(screen: Screen, lost: list[dict[str, Any]]) -> bool:
    records = sum(int(one["pending_records"]) for one in lost)
    files = sum(int(one["pending_files"]) for one in lost)
    what = f"{words.counted(records, 'record')} and {words.counted(files, 'file')} of {_names(lost)}"
    if not sys.stdin.isatty():
        cause = f"The hub has not got {what}, and standard input is no terminal."
        raise CommandError(Exit.USAGE, cause, "Add --yes if they may be lost.")
    screen.note(f"The hub has not got {what}: they will be lost. Remove them? [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _names(found: list[dict[str, Any]]) -> str:
    names = sorted({words.clean(f"{one['project']}/{one['run_id']}") for one in found})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more runs" if len(names) > 3 else "")


def _show(args: Namespace, screen: Screen, found: list[dict[str, Any]]) -> None:
    if args.json:
        for one in found:
            screen.emit(one)
        return
    screen.table(_COLUMNS, [_row(one) for one in found])
    for why in dict.fromkeys(str(one["why"]) for one in found if one.get("why")):
        screen.note(f"  {words.clean(why)}")


def _row(one: dict[str, Any]) -> list[Cell]:
    unsent = [words.count(one["pending_records"])] if one["pending_records"] else []
    unsent += [words.counted(one["pending_files"], "file")] if one["pending_files"] else []
    state = str(one["state"])
    return [
        Cell(words.clean(f"{one['project']}/{one['run_id']}")),
        Cell(str(one["number"] or "")),
        Cell(state, STATE_STYLE.get(state, "")),
        Cell(words.size(one["row_bytes"])),
        Cell(words.size(one["file_bytes"])),
        Cell(" + ".join(unsent) or "-"),
        Cell(_PURGE.get(str(one["keep"]), str(one["keep"]))),
    ]
