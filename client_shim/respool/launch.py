"""The launch: what this process has in common with those that were started with it, and with nothing else.

Its name joins, with `+`, every job that this process is part of, life and step included (`respool.schedulers`), the
mpirun or the agent that started it, and what it inherited as RESPOOL_LAUNCH_ID; a process that has none of these
draws a name by lot. So all ranks of one launch name it alike on any node, with nobody asked, and a requeued job or
an elastic restart is another launch.

Whoever begins a run exports the name to its descendants. `+taken:3:3:4711` at its end says that process 4711 found
rank 3 in the environment and took it. A descendant names the same launch, and knows that the rank it finds is its
ancestor's: it has none of its own (-1), and joins. What an inherited name says of a job is replaced by what the
environment says: a job that was submitted from inside another one is not that one.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from respool.process import boot_id, environ_of, parent_of, program, start_time
from respool.rank import Rank, rank_of
from respool.schedulers import Environ, Job, jobs_of
from respool.util import generate_id, id_from
from respool.wire.identity import digest_of, spelled

VARIABLE = "RESPOOL_LAUNCH_ID"
_TAKEN = "taken:"
_MPI = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID")
_PLACE = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MAX_BETWEEN = 16
_MAX_PART = 100
_READABLE = 40
_OWN_FLAGS = ("--local_rank", "--local-rank")


class Launch(NamedTuple):
    """`rank` is -1 for a process that was started inside the launch and has no place of its own there. `job` is the
    job that a later life of this training will be part of, too; `task` which one of an array. `dated`: no other
    launch will ever bear this name. `found`: the rank that the environment speaks of, whosever it is.
    """

    name: str
    rank: int = 0
    size: int = 1
    job: Job | None = None
    task: str = ""
    dated: bool = True
    found: int = 0

    @property
    def identity(self) -> str:
        """The job among all jobs, the same in all of its lives; empty where there is none."""
        return self.job.identity if self.job else ""

    @property
    def restart_count(self) -> int:
        """Which life of the job this is. torchelastic's count begins anew with each agent: it orders nothing."""
        return self.job.life if self.job and self.job.scheduler != "torchelastic" else 0

    @property
    def exported(self) -> str:
        """What descendants inherit."""
        return f"{self.name}+{_TAKEN}{self.found}:{self.rank}:{os.getpid()}"


class _Inherited(NamedTuple):
    """What RESPOOL_LAUNCH_ID said. `pid` exported it (0: somebody by hand), had found rank `found`, took `rank`."""

    parts: list[str]
    found: int = 0
    rank: int = 0
    pid: int = 0


def launch_of(environ: Environ, inherited: str = "") -> Launch:
    """The launch of this process. `inherited` is the value of RESPOOL_LAUNCH_ID."""
    jobs, rank, above = jobs_of(environ), rank_of(environ), _parse(inherited)
    own = [_part(job.life_name) for job in jobs] + _mpi(environ, rank)
    own += _agent(environ, rank, above) + _sibling(above)
    kinds = {_kind(part) for part in own}
    kept = [part for part in above.parts if _kind(part) not in kinds]
    parts = kept + own or [f"own:{generate_id(16)}"]
    return Launch(
        name="+".join(parts),
        rank=_place(rank, above, new=not set(own) <= set(above.parts)),
        size=rank.size,
        job=next((job for job in jobs if job.lasting), None),
        task=next((job.task for job in jobs if job.task), ""),
        found=rank.number,
        dated=any(job.unique for job in jobs) or not {"own", "mpi", "agent"}.isdisjoint(map(_kind, parts)),
    )


def base_of(launch: Launch) -> str:
    """The run id that follows from the job: `slurm-1234_7-` and 12 hexadecimal digits of cluster, user, program.
    Empty where there is no job that will come again.
    """
    job = launch.job
    if job is None:
        return ""
    readable = spelled(f"{job.scheduler}-{job.name}")[:_READABLE]
    return f"{readable}-{digest_of('base', job.identity, str(os.getuid()), program()).hex()[:12]}"


def fresh_id(launch: Launch, call: int) -> str:
    """The id of a new run that nobody named. By lot; but ranks, each of which is asked, all draw the same one: it
    follows from the launch, the command line and which call of init() this is.
    """
    if launch.rank < 0 or launch.size < 2 or not launch.dated:
        return generate_id()
    return id_from(digest_of("fresh", launch.name, program(), *_arguments(sys.argv[1:]), str(call)))


def _arguments(words: list[str]) -> list[str]:
    """The command line without what old launchers put into each rank's."""
    return [word for word in words if word.partition("=")[0] not in _OWN_FLAGS]


def _parse(text: str) -> _Inherited:
    parts = [part for part in text.split("+") if part]
    if not parts or not parts[-1].startswith(_TAKEN):
        return _Inherited(parts)
    try:
        found, rank, pid = map(int, parts.pop()[len(_TAKEN) :].split(":"))
    except ValueError:
        return _Inherited(parts)
    return _Inherited(parts, found, rank, pid)


def _place(rank: Rank, above: _Inherited, *, new: bool) -> int:
    """This process's rank, -1 when that is an ancestor's. After exec, and at a second init(), it is our own."""
    if above.pid == os.getpid():
        return above.rank
    if above.pid:
        return rank.number if new or rank.number != above.found else -1
    if rank.source == "RANK":
        return rank.number
    stranger = not above.parts and _parent() is None
    return rank.number if stranger or (rank.source and _parent() is None) else -1


def _mpi(environ: Environ, rank: Rank) -> list[str]:
    if "PMI" not in rank.source and "OMPI" not in rank.source:
        return []
    return [_part(f"mpi:{environ[name]}") for name in _MPI if environ.get(name)][:1]


def _agent(environ: Environ, rank: Rank, above: _Inherited) -> list[str]:
    """The process that started all ranks, where they are all on one node. Descendants have another parent."""
    if any(_kind(part) == "agent" for part in above.parts):
        return [part for part in above.parts if _kind(part) == "agent"]
    if rank.source != "RANK":
        return []
    here = environ.get("LOCAL_WORLD_SIZE") or environ.get("LOCAL_SIZE")
    if here == environ.get("WORLD_SIZE"):
        return [f"agent:{_named(_starter(environ))}"]
    return [_part(f"master:{environ.get('MASTER_ADDR', '')}:{environ.get('MASTER_PORT', '')}")]


def _starter(environ: Environ) -> int:
    """The process that gave this one its rank: the nearest ancestor that was not given it too, as a shell in between
    was.
    """
    place = {os.fsencode(f"{name}={environ[name]}") for name in _PLACE if name in environ}
    pid = os.getppid()
    for _ in range(_MAX_BETWEEN):
        above = parent_of(pid)
        if above < 1 or not place <= environ_of(pid):
            break
        pid = above
    return pid


def _sibling(above: _Inherited) -> list[str]:
    """What children of one multiprocessing parent share, if it began no run itself."""
    parent = _parent()
    return [f"parent:{_named(parent)}"] if parent is not None and not above.parts else []


def _parent() -> int | None:
    """The process that started this one by multiprocessing."""
    module = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module is not None else None
    return parent.pid if parent is not None else None


def _named(pid: int) -> str:
    return f"{boot_id()[:8]}.{pid}.{start_time(pid) or 0}"


def _part(text: str) -> str:
    return text.replace("+", "-")[:_MAX_PART]


def _kind(part: str) -> str:
    return part.partition(":")[0]
