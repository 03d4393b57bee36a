"""This process's place among those that were launched with it.

In this order, the first whose variable is there and makes sense:

1. RANK with WORLD_SIZE: what torchrun, DeepSpeed, Accelerate and Lightning give each worker. They run inside a
   step or a pod, so theirs is the finer division. Without WORLD_SIZE, RANK may be anybody's.
2. OMPI_COMM_WORLD_RANK, PMIX_RANK, PMI_RANK, MV2_COMM_WORLD_RANK: mpirun's, inside a batch script. srun sets some of
   them too, equal to its own.
3. SLURM_PROCID, inside a step only: in the batch script it is 0 for whatever the script starts.
4. The number of the node, where a scheduler starts one process on each: SKYPILOT_NODE_RANK,
   AWS_BATCH_JOB_NODE_INDEX.

Elsewhere a process is alone: rank 0. Two of them in one job are two trainings, because the second finds the place
of the first taken.
"""

from __future__ import annotations

from typing import NamedTuple

from respool.schedulers import Environ, number, slurm_step
from respool.wire.identity import FIRST_JOINED

_PAIRS = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES"),
    ("AWS_BATCH_JOB_NODE_INDEX", "AWS_BATCH_JOB_NUM_NODES"),
)


class Rank(NamedTuple):
    """`number` of `size`; `source` is the variable that said so, empty where none did."""

    number: int = 0
    size: int = 1
    source: str = ""


ALONE = Rank()


def rank_of(environ: Environ) -> Rank:
    """The rank that the environment gives this process, or ALONE."""
    return next((rank for name, size in _PAIRS if (rank := _rank(environ, name, size)) is not None), ALONE)


def _rank(environ: Environ, name: str, size_name: str) -> Rank | None:
    text = environ.get(name, "").strip()
    if not (text.isascii() and text.isdigit()) or (name == "SLURM_PROCID" and not slurm_step(environ)):
        return None
    size = number(environ, size_name)
    if (name == "RANK" and not size) or (size and int(text) >= size) or int(text) >= FIRST_JOINED:
        return None
    return Rank(int(text), size or 1, name)
