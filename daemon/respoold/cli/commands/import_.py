"""Put runs that `respool export` wrote into a hub, each as a finished run with one attempt.

Config, summary, name, notes, tags, history, printed lines, load and files come along; the earlier attempts and
the checkpoints do not. The run belongs to the key's user unless --entity names a team. An import that broke off
is said again: what the hub has is not sent twice.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from respool.wire.identity import BadNameError, run_id_of
from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments
from respoold.cli.commands.sync import desk, upload
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Hub, open_hub
from respoold.cli.imported import Export, read
from respoold.cli.places import here
from respoold.cli.rebuilt import Named, attempt_of, rebuild
from respoold.cli.runs import RunPath
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool import /data/runs/ada/digits/mlp-1
  respool import runs/ada/digits/* --hub https://hub.example
  respool import ada/digits/mlp-1 --id mlp-1-again --project copies
"""


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("folders", metavar="DIR", nargs="+", help="a run's folder, with its export.json")
    parser.add_argument("--entity", metavar="NAME", help="of this team (default: the key's user)")
    parser.add_argument("--project", metavar="NAME", help="into this project (default: the one it had)")
    parser.add_argument("--id", metavar="RUN_ID", help="under this id (default: the one it had)")
    add_reading_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Send them. Nothing is sent before all are read and none is at the hub already."""
    exports = [read(os.path.normpath(folder)) for folder in args.folders]
    if args.id and len(exports) > 1:
        raise CommandError(Exit.USAGE, f"--id {args.id} is for one run.", "Name one folder.")
    places = here()
    with open_hub(args.hub, places) as hub:
        names = [_named(args, one) for one in exports]
        for export, named in zip(exports, names, strict=True):
            _refuse_to_join(hub, export, named)
    with desk(places) as spool:
        rows = [rebuild(export, named, spool) for export, named in zip(exports, names, strict=True)]
        outcome, code = upload([spool], args.hub, places, screen)
    for export, named, count in zip(exports, names, rows, strict=True):
        name = "/".join(part for part in named[:3] if part)
        if args.json:
            screen.emit({"path": export.folder, "run": name, "rows": count, "sent": code == Exit.DONE})
        elif code == Exit.DONE:
            screen.say(f"{words.clean(name)}  {words.counted(count, 'row')}")
    if code != Exit.DONE:
        why = outcome.why or "the hub did not take all of it"
        raise CommandError(code, f"The import is not complete: {why}.", "Say it again later.")
    return Exit.DONE


def _named(args: Namespace, export: Export) -> Named:
    run = export.run
    original = str(args.id or run.get("original_id") or run.get("run_id"))
    try:
        run_id = run_id_of(original)
    except BadNameError as error:
        raise CommandError(Exit.USAGE, f"{error}.", "Name another with --id.") from error
    return Named(args.entity, str(args.project or run.get("project")), run_id, original)


def _refuse_to_join(hub: Hub, export: Export, named: Named) -> None:
    """A run of that name is no place for another's history, unless it is this import's own beginning."""
    entity = named.entity or str(hub.get("/v1/me").get("entity"))
    asked = {"entity": entity, "project": named.project, "run_id": named.run_id}
    for one in hub.get("/v1/runs", **asked).get("runs") or []:
        path = RunPath(str(one["entity"]), str(one["project"]), str(one["run_id"]))
        attempts = hub.get(path.url()).get("attempts") or []
        if any(attempt["attempt_id"] != attempt_of(export, named) for attempt in attempts):
            cause = f"There is a run {words.clean(str(path))} at the hub already."
            raise CommandError(Exit.USAGE, cause, "Name another id with --id, or another --project.")
