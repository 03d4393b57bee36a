"""Let several users share runs: a team is an entity with members.

A run in a team (init(entity="lab"), RESPOOL_ENTITY=lab) is seen by every member, and continued, changed or deleted
by its owner or an admin only. Teams are made by admins of the hub.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import quote

from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Hub, open_hub
from respoold.cli.places import here
from respoold.cli.screen import Cell, Column, Screen

EXAMPLES = """
examples:
  respool team create lab ada bob
  respool team add lab carl
  respool team remove lab bob
  respool team list
  respool team drop lab              once it has no runs any more
"""

_COLUMNS = (Column("TEAM"), Column("MEMBERS", shrink=True))
_ACTIONS = {
    "create": "make a team of these users",
    "add": "add members",
    "remove": "take members out; their runs stay",
    "list": "the teams you may see",
    "drop": "remove a team that has no runs",
}


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="|".join(_ACTIONS), required=True)
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text, allow_abbrev=False)
        if name != "list":
            action.add_argument("team", metavar="TEAM", help="its name: what entity= is then")
        if name in {"create", "add", "remove"}:
            many = "*" if name == "create" else "+"
            action.add_argument("users", metavar="USER", nargs=many, help="as in `respool key list`")
        add_reading_arguments(action)


def run(args: Namespace, screen: Screen) -> int:
    """Do the one that was chosen."""
    with open_hub(args.hub, here()) as hub:
        if args.action == "list":
            _list(args, screen, _teams(hub))
        elif args.action == "drop":
            hub.delete(_path(args.team))
            _done(args, screen, {"team": args.team, "dropped": True}, f"The team {args.team} is gone.")
        else:
            team = hub.put(_path(args.team), {"members": _members(args, _teams(hub))})
            members = ", ".join(map(str, team.get("members") or [])) or "no members"
            _done(args, screen, team, f"{args.team}: {words.clean(members)}")
    return Exit.DONE


def _members(args: Namespace, teams: list[dict[str, Any]]) -> list[str]:
    known = next((team["members"] for team in teams if team.get("team") == args.team), None)
    if args.action == "create":
        if known is not None:
            advice = f"Change it with `respool team add {args.team} USER`, or remove."
            raise CommandError(Exit.USAGE, f"The team {args.team!r} exists.", advice)
        return list(args.users)
    if known is None:
        raise CommandError(Exit.USAGE, f"There is no team {args.team!r}.", "Make it: `respool team create`.")
    if args.action == "add":
        return [*known, *args.users]
    strangers = sorted(set(args.users) - set(known))
    if strangers:
        cause = f"{strangers[0]!r} is no member of {args.team!r}."
        raise CommandError(Exit.USAGE, cause, f"Its members are {', '.join(known) or 'none'}.")
    return [member for member in known if member not in args.users]


def _list(args: Namespace, screen: Screen, teams: list[dict[str, Any]]) -> None:
    if args.json:
        for team in teams:
            screen.emit(team)
        return
    rows = [
        [Cell(str(team.get("team"))), Cell(", ".join(team.get("members") or []) or "-")] for team in teams
    ]
    screen.table(_COLUMNS, rows)


def _done(args: Namespace, screen: Screen, answer: dict[str, Any], text: str) -> None:
    if args.json:
        screen.emit(answer)
    else:
        screen.say(text)


def _teams(hub: Hub) -> list[dict[str, Any]]:
    return list(hub.get("/v1/teams").get("teams") or [])


def _path(team: str) -> str:
    if not team or not set(team) <= _LETTERS or team.startswith("."):
        raise CommandError(
            Exit.USAGE, f"{team!r:.80} is no team's name.", "Use letters, digits, - _ and dots."
        )
    return f"/v1/teams/{quote(team, safe='')}"
