"""Make, list and revoke keys of a hub.

A key belongs to a user. It may read, or read and write what is that user's, or administer the hub; it may be good
for one project only, and end by itself. It is shown once, when it is made: the hub keeps its hash only. Training
processes exchange it for a token that is good for their attempt alone; revoking the key ends those too, its expiry
ends no training that has begun.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import quote

from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments, lifetime
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import open_hub
from respoold.cli.places import here
from respoold.cli.screen import Cell, Column, Screen

EXAMPLES = """
examples:
  respool key create --user ada --name cluster
  respool key create --scope read --expires 30d          for yourself
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
    Column("MADE", right=True, rank=2),
    Column("USED", right=True, rank=1),
    Column("ENDS", right=True),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="create|list|revoke", required=True)
    create = actions.add_parser("create", help="make a key", allow_abbrev=False)
    create.add_argument("--user", metavar="NAME", help="whose key it is (yours)")
    create.add_argument(
        "--scope", choices=("read", "write", "admin"), default="write", help="what it may (write)"
    )
    create.add_argument("--project", metavar="NAME", help="only for this project")
    create.add_argument("--name", metavar="TEXT", default="", help="what it is for, to know it again")
    create.add_argument(
        "--expires", metavar="TIME", type=lifetime, help="end by itself after 12h, 90d, 4w ... (never)"
    )
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
    if args.user == "":
        raise CommandError(Exit.USAGE, "--user is empty.", "Name the user, or leave it out for yourself.")
    body = {"user": args.user or "", "scope": args.scope, "project": args.project, "name": args.name}
    if args.expires is not None:
        body["expires_in"] = args.expires
    with open_hub(args.hub, here()) as hub:
        made = hub.post("/v1/keys", body)
    if args.json:
        screen.emit(made)
        return
    screen.say(str(made.get("key")))
    where = f" in project {args.project}" if args.project else ""
    until = words.moment(made["expires_at"]) if made.get("expires_at") else ""
    ends = f" until {until}" if until else ""
    whose = words.clean(str(made.get("user") or args.user))
    screen.note(
        f"This is the key {made.get('key_id')} of {whose}: {args.scope}{where}{ends}. It is not shown again."
    )


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
    expires = item.get("expires_at")
    over = "revoked" if item.get("revoked_at") else "expired" if expires and expires <= now else ""
    return [
        Cell(str(item.get("key_id")), "dim" if over else ""),
        Cell(str(item.get("user"))),
        Cell(str(item.get("scope"))),
        Cell(str(item.get("project") or "all")),
        Cell(str(item.get("name") or "")),
        Cell(words.ago(item.get("created_at"), now)),
        Cell(words.ago(item.get("used_at"), now) if item.get("used_at") else "never"),
        Cell(over, "dim") if over else Cell(f"in {words.duration(expires - now)}" if expires else "-"),
    ]


def _revoke(args: Namespace, screen: Screen) -> None:
    with open_hub(args.hub, here()) as hub:
        answer = hub.delete(f"/v1/keys/{quote(args.key_id, safe='')}")
    if args.json:
        screen.emit({"key_id": args.key_id, "revoked": True, **answer})
    else:
        screen.say(f"The key {args.key_id} is revoked, and so are the tokens of attempts that began with it.")
