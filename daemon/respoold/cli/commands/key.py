"""Make, list and revoke keys of a hub. A key is shown once, when it is made: the hub keeps its hash only."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import quote

from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments
from respoold.cli.hub import open_hub
from respoold.cli.places import here
from respoold.cli.screen import Cell, Column, Screen

EXAMPLES = """
examples:
  respool key create --user ada --scope write --name cluster
  respool key list
  respool key revoke k_3f9a
  respool key create --user ci --scope read > ci-key.txt    nothing but the key
"""

_COLUMNS = (
    Column("KEY"),
    Column("USER", shrink=True),
    Column("SCOPE"),
    Column("PROJECT", shrink=True),
    Column("NAME", shrink=True),
    Column("MADE", right=True, rank=1),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="create|list|revoke", required=True)
    create = actions.add_parser("create", help="make a key", allow_abbrev=False)
    create.add_argument("--user", metavar="NAME", required=True, help="whose key it is")
    create.add_argument(
        "--scope", choices=("read", "write", "admin"), default="write", help="what it may (write)"
    )
    create.add_argument("--project", metavar="NAME", help="only for this project")
    create.add_argument("--name", metavar="TEXT", default="", help="what it is for, to know it again")
    revoke = actions.add_parser("revoke", help="end a key", allow_abbrev=False)
    revoke.add_argument("key_id", metavar="KEY_ID", help="as `respool key list` shows it, not the key itself")
    for action in (
        create,
        revoke,
        actions.add_parser("list", help="the keys you may see", allow_abbrev=False),
    ):
        add_reading_arguments(action)


def run(args: Namespace, screen: Screen) -> int:
    """Do the one that was chosen."""
    actions = {"create": _create, "list": _list, "revoke": _revoke}
    actions[args.action](args, screen)
    return 0


def _create(args: Namespace, screen: Screen) -> None:
    body = {"user": args.user, "scope": args.scope, "project": args.project, "name": args.name}
    with open_hub(args.hub, here()) as hub:
        made = hub.post("/v1/keys", body)
    if args.json:
        screen.emit(made)
        return
    screen.say(str(made.get("key")))
    screen.note(f"This is the key {made.get('key_id')} of {args.user} ({args.scope}). It is not shown again.")


def _list(args: Namespace, screen: Screen) -> None:
    with open_hub(args.hub, here()) as hub:
        keys = hub.get("/v1/keys").get("keys") or []
    if args.json:
        for item in keys:
            screen.emit(item)
        return
    now = time.time()
    screen.table(_COLUMNS, [_row(item, now) for item in keys])


def _row(item: dict[str, Any], now: float) -> list[Cell]:
    scopes = item.get("scopes") or [item.get("scope")]
    return [
        Cell(str(item.get("key_id")), "dim" if item.get("revoked_at") else ""),
        Cell(str(item.get("user"))),
        Cell("revoked" if item.get("revoked_at") else ", ".join(str(one) for one in scopes if one)),
        Cell(str(item.get("project") or "all")),
        Cell(str(item.get("name") or "")),
        Cell(words.ago(item.get("created_at"), now)),
    ]


def _revoke(args: Namespace, screen: Screen) -> None:
    with open_hub(args.hub, here()) as hub:
        answer = hub.delete(f"/v1/keys/{quote(args.key_id, safe='')}")
    if args.json:
        screen.emit({"key_id": args.key_id, "revoked": True, **answer})
    else:
        screen.say(f"The key {args.key_id} is revoked.")
