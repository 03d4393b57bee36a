"""The public names of wandb 0.31.0, so that a machine without it knows them too. One a line in the file beside this:
whose it is, and its name.
"""

from __future__ import annotations

from pathlib import Path

NAMES: dict[str, list[str]] = {}

for line in Path(__file__).with_suffix(".txt").read_text().splitlines():
    owner, name = line.split(" ")
    NAMES.setdefault(owner, []).append(name)

SETTINGS = NAMES.pop("Settings")
