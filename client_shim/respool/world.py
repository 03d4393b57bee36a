"""This process among those of its launch that train together."""

from __future__ import annotations

import os
import sys


def place_in_world() -> tuple[int, int] | None:
    """(rank, world size): torch.distributed's if that runs, else the launcher's variables; None where nobody says."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank()), int(distributed.get_world_size())
    rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if rank.isdigit() and world.isdigit() and int(rank) < int(world):
        return int(rank), int(world)
    return None
