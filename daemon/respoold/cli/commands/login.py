"""Keep a key for a hub, after the hub has said whose it is.

The key is asked for, or read from standard input where that is no terminal. It goes to credentials.toml in
~/.config/respool, readable by you alone; your daemon and every command find it there, a daemon that runs already at
its next request, and training processes hand it to the system's daemon.
"""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser, Namespace

from respoold.cli import credentials, words
from respoold.cli.credentials import Credential
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Hub, checked, find_hub
from respoold.cli.places import here
from respoold.cli.screen import Screen
from respoold.core.address import in_the_open

EXAMPLES = """
examples:
  respool login https://hub.example
  respool login https://hub.example < key.txt
  respool login unix:/srv/respool/hub.sock < /srv/respool/data/admin-key
"""


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "url", metavar="URL", nargs="?", help="the hub; without it the one that is known here"
    )
    parser.add_argument(
        "--key", metavar="KEY", help="the key (other users of this machine see a command line)"
    )
    parser.add_argument(
        "--insecure", action="store_true", help="allow this key to cross the network in plain text"
    )
    parser.add_argument("--json", action="store_true", help="print what the hub says of the key as JSON")


def run(args: Namespace, screen: Screen) -> int:
    """Check the key, then keep it."""
    places = here()
    address = checked(args.url, "the command line") if args.url else find_hub(None, places)
    address = address._replace(remedy="name the right one: respool login URL")
    if in_the_open(address.url) and not args.insecure:
        cause = f"A key for {address.url} would cross the network in plain text."
        raise CommandError(Exit.USAGE, cause, "Use https://, or say --insecure if that network is yours.")
    key = (args.key or _ask(address.url)).strip()
    if not key.isascii() or not key.isprintable() or " " in key or not key:
        cause = "That is no key: it is empty or holds characters that no key has."
        raise CommandError(Exit.USAGE, cause, "A key looks like rsp_ and 40 letters and digits.")
    with Hub(address, key) as hub:
        me = hub.get("/v1/me")
    credentials.save(places.credentials, address.url, Credential(key, insecure=args.insecure))
    if args.json:
        screen.emit(me)
    else:
        scopes = ", ".join(map(str, me.get("scopes") or [])) or "no scopes"
        screen.say(
            f"Logged in at {address.url} as {words.clean(str(me.get('user')))} ({words.clean(scopes)})."
        )
        screen.say(f"The key is kept in {places.credentials}; nothing needs to be restarted.")
    return Exit.DONE


def _ask(url: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"Key for {url}: ")
    return sys.stdin.readline()
