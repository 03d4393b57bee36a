"""Have the hub remove the bytes that nothing needs any more.

Those of dropped checkpoints and of uploads that came to nothing; nothing that
was sent or asked for in the last quarter of an hour. The hub does it by itself
when its disk is full, and every hour for what is a day old. Needs an admin key.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments
from respoold.cli.errors import Exit
from respoold.cli.hub import open_hub
from respoold.cli.places import here
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool gc
  respool gc --hub https://hub.example --json
"""


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_reading_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Have it done now."""
    with open_hub(args.hub, here()) as hub:
        done = hub.post("/v1/gc", {})
        url = hub.address.url
    if args.json:
        screen.emit({"hub": url, **done})
    else:
        blobs = words.counted(int(done.get("blobs") or 0), "blob")
        screen.say(f"{url}: {blobs} removed, {words.size(done.get('bytes'))}")
    return Exit.DONE
