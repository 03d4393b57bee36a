"""What the scheduler calls the job that this process belongs to: one small function per scheduler, each over the
environment alone. Nothing is asked and no command is run (Condor's job description is a file).

    scheduler       the job, the same in all its lives                     which life it is
    Determined      DET_TRIAL_ID, DET_CLUSTER_ID                           DET_TRIAL_RUN_ID
    SkyPilot        SKYPILOT_TASK_ID without its first part, a time        -
    SLURM           SLURM_ARRAY_JOB_ID _ SLURM_ARRAY_TASK_ID, or           SLURM_RESTART_COUNT
                    SLURM_HET_JOB_ID, or SLURM_JOB_ID; SLURM_CLUSTER_NAME
    LSF             LSB_JOBID, LSB_JOBINDEX                                LSB_RESTART
    PBS, Torque     PBS_JOBID, PBS_ARRAY_INDEX or PBS_ARRAYID              -
    SGE             JOB_ID, SGE_TASK_ID, SGE_CELL                          RESTARTED
    HTCondor        ClusterId.ProcId of the file in _CONDOR_JOB_AD         NumJobStarts there
    AWS Batch       AWS_BATCH_JOB_ID, its array index included             AWS_BATCH_JOB_ATTEMPT
    SageMaker       TRAINING_JOB_NAME                                      -
    Kubernetes      JOB_UID or JOB_NAME (POD_NAMESPACE), by the downward   -
                    API, else the host name of an Indexed Job's pod;
                    JOB_COMPLETION_INDEX
    torchelastic    TORCHELASTIC_RUN_ID                                    TORCHELASTIC_RESTART_COUNT

The first that answers names the job; all of them together name the launch (`respool.launch`). Interactive
sessions are no jobs: whoever types the same command twice means two runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

Environ = Mapping[str, str]
_BATCH_STEPS = 0xFFFFFFF0
"""SLURM numbers the batch script and an interactive shell as steps, from here on."""


class Job(NamedTuple):
    """`name`: the job in all of its lives, array index included. `life`: which of them, 0 for the first, or where
    nobody counts. `step`: what inside the job launched this process with its siblings.
    `task`: which task of an array. `lasting` is False for a name that says nothing about the job's next life,
    `unique` for one that another training may bear some day.
    """

    scheduler: str
    name: str
    cluster: str = ""
    life: int = 0
    step: str = ""
    task: str = ""
    lasting: bool = True
    unique: bool = True

    @property
    def identity(self) -> str:
        """The job among all jobs of all clusters."""
        return (
            f"{self.scheduler}:{self.cluster}:{self.name}"
            if self.cluster
            else f"{self.scheduler}:{self.name}"
        )

    @property
    def life_name(self) -> str:
        """The job, its life and the step: what all processes that were launched together have in common."""
        step = f".{self.step}" if self.step else ""
        return f"{self.identity}#{self.life}{step}"


def jobs_of(environ: Environ) -> list[Job]:
    """Every job that this process is part of, as far as the environment tells; outermost first."""
    found = (source(environ) for source in SOURCES)
    return [job for job in found if job is not None]


def slurm(environ: Environ) -> Job | None:
    """Components of a heterogeneous job have job ids of their own and are one job all the same."""
    job, index = environ.get("SLURM_JOB_ID", ""), environ.get("SLURM_ARRAY_TASK_ID", "")
    if not job:
        return None
    together = environ.get("SLURM_HET_JOB_ID") or environ.get("SLURM_PACK_JOB_ID") or job
    array = environ.get("SLURM_ARRAY_JOB_ID", "")
    name = f"{array}_{index}" if array and index else together
    cluster, life = environ.get("SLURM_CLUSTER_NAME", ""), number(environ, "SLURM_RESTART_COUNT")
    lasting = not _interactive_slurm(environ)
    return Job("slurm", name, cluster, life, slurm_step(environ), index if array else "", lasting=lasting)


def slurm_step(environ: Environ) -> str:
    """The step that srun launched this process in; empty in the batch script itself, whose children all have the
    SLURM_PROCID 0.
    """
    step = environ.get("SLURM_STEP_ID") or environ.get("SLURM_STEPID") or ""
    return step if step.isdigit() and int(step) < _BATCH_STEPS else ""


def _interactive_slurm(environ: Environ) -> bool:
    if environ.get("SLURM_PTY_PORT") or environ.get("SLURM_STEP_ID") == "4294967290":
        return True
    # salloc without a command calls the job "interactive"; a batch job may be called so too, and says BATCH.
    return environ.get("SLURM_JOB_NAME") == "interactive" and environ.get("ENVIRONMENT") != "BATCH"


def lsf(environ: Environ) -> Job | None:
    """A job that was requeued after its host failed has LSB_RESTART=Y, every time: it counts one."""
    job = environ.get("LSB_JOBID", "")
    if not job:
        return None
    index = _index(environ, "LSB_JOBINDEX", absent="0")
    life = int(environ.get("LSB_RESTART", "").upper() == "Y")
    lasting = environ.get("LSB_INTERACTIVE", "").upper() != "Y"
    return Job("lsf", _with(job, index), "", life, task=index, lasting=lasting)


def pbs(environ: Environ) -> Job | None:
    """`123[4].server`: the number, the index of an array's task, the server."""
    job, _, cluster = environ.get("PBS_JOBID", "").partition(".")
    if not job:
        return None
    index = _index(environ, "PBS_ARRAY_INDEX") or _index(environ, "PBS_ARRAYID")
    lasting = environ.get("PBS_ENVIRONMENT") != "PBS_INTERACTIVE"
    plain = job.partition("[")[0]
    if index and plain.endswith(f"-{index}"):
        plain = plain[: -len(index) - 1]
    return Job("pbs", _with(plain, index), cluster, task=index, lasting=lasting)


def sge(environ: Environ) -> Job | None:
    """JOB_ID alone may be anybody's: only beside a variable of SGE's own."""
    job = environ.get("JOB_ID", "")
    if not job or not ("SGE_TASK_ID" in environ or "SGE_ROOT" in environ):
        return None
    index = _index(environ, "SGE_TASK_ID", absent="undefined")
    shell = environ.get("JOB_NAME") in {"QLOGIN", "QRLOGIN", "QRSH"} or "QRSH_PORT" in environ
    life = number(environ, "RESTARTED")
    return Job("sge", _with(job, index), environ.get("SGE_CELL", ""), life, task=index, lasting=not shell)


def condor(environ: Environ) -> Job | None:
    """From the job's description that Condor puts beside it. One that cannot be read names no job."""
    path = environ.get("_CONDOR_JOB_AD", "")
    if not path:
        return None
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return None
    pairs = (line.partition("=") for line in lines)
    ad = {name.strip().lower(): value.strip().strip('"') for name, equals, value in pairs if equals}
    cluster, proc = ad.get("clusterid", ""), ad.get("procid", "")
    if not cluster or not proc:
        return None
    queue = ad.get("globaljobid", "").rpartition("#")[0].partition("#")[0]
    life, lasting = number(ad, "numjobstarts"), ad.get("interactivejob", "").lower() != "true"
    return Job("condor", f"{cluster}.{proc}", queue, life, task=proc, lasting=lasting)


def aws_batch(environ: Environ) -> Job | None:
    """`id`, `id:index` in an array, `id#node` on each node of a multi-node job; a retry keeps it and counts on."""
    job = environ.get("AWS_BATCH_JOB_ID", "").partition("#")[0]
    if not job:
        return None
    index = _index(environ, "AWS_BATCH_JOB_ARRAY_INDEX")
    name = job if ":" in job or not index else f"{job}:{index}"
    return Job("aws-batch", name, "", max(number(environ, "AWS_BATCH_JOB_ATTEMPT") - 1, 0), task=index)


def kubernetes(environ: Environ) -> Job | None:
    """The downward API names a Job only to those who ask: JOB_UID from the label
    batch.kubernetes.io/controller-uid, JOB_NAME from batch.kubernetes.io/job-name, POD_NAMESPACE. The pods of an
    Indexed Job have its name and their index as host name, and keep both when they are replaced. An index that
    is also the rank makes it a node of one training, not a task of an array.
    """
    if "KUBERNETES_SERVICE_HOST" not in environ:
        return None
    index = _index(environ, "JOB_COMPLETION_INDEX")
    host, name = environ.get("HOSTNAME", ""), environ.get("JOB_NAME", "")
    if not name and index and host.endswith(f"-{index}"):
        name = host[: -len(index) - 1]
    uid = environ.get("JOB_UID", "")
    if not (name or uid or index):
        return None
    if index and _is_node(environ, index):
        index = ""
    job, space = _with(uid or name, index), environ.get("POD_NAMESPACE", "")
    return Job("k8s", job, space, task=index, lasting=bool(name or uid), unique=bool(uid))


def _is_node(environ: Environ, index: str) -> bool:
    pairs = (("GROUP_RANK", "GROUP_WORLD_SIZE"), ("NODE_RANK", "NNODES"), ("RANK", "WORLD_SIZE"))
    return any(environ.get(rank) == index and number(environ, size) > 1 for rank, size in pairs)


def skypilot(environ: Environ) -> Job | None:
    """`sky-managed-<time>_<name>_<job>-<task>`: a recovered task has another time in front."""
    tail = environ.get("SKYPILOT_TASK_ID", "").partition("_")[2]
    return Job("sky", tail, environ.get("SKYPILOT_USER", "")) if tail else None


def determined(environ: Environ) -> Job | None:
    """A trial; each of its containers' lives is one run of it."""
    trial = environ.get("DET_TRIAL_ID", "")
    if not trial:
        return None
    return Job("determined", trial, environ.get("DET_CLUSTER_ID", ""), number(environ, "DET_TRIAL_RUN_ID"))


def sagemaker(environ: Environ) -> Job | None:
    """A training job; a managed spot restart keeps its name."""
    name = environ.get("TRAINING_JOB_NAME", "")
    return Job("sagemaker", name, environ.get("AWS_REGION", "")) if name else None


def torchelastic(environ: Environ) -> Job | None:
    """`none` is nobody's id (the master's address stands in for it), and one that torchrun made up for
    --standalone ends with its agent. The restart count begins anew with each agent, so it tells launches apart
    but does not order them: `respool.launch`.
    """
    name = environ.get("TORCHELASTIC_RUN_ID", "")
    if not name:
        return None
    given = name != "none"
    if not given:
        name = f"{environ.get('MASTER_ADDR', '')}:{environ.get('MASTER_PORT', '')}"
    made_up = len(name) == 36 and name.count("-") == 4
    life = number(environ, "TORCHELASTIC_RESTART_COUNT")
    return Job("torchelastic", name, "", life, lasting=given and not made_up, unique=made_up)


def number(environ: Environ, name: str) -> int:
    """The value of a variable that counts; 0 where there is none."""
    text = environ.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _index(environ: Environ, name: str, absent: str = "") -> str:
    value = environ.get(name, "").strip()
    return "" if value == absent else value


def _with(job: str, index: str) -> str:
    return f"{job}_{index}" if index else job


_MANAGED = (determined, skypilot)
_BATCH = (slurm, lsf, pbs, sge, condor)
_CLOUD = (aws_batch, sagemaker, kubernetes, torchelastic)
SOURCES: tuple[Callable[[Environ], Job | None], ...] = (*_MANAGED, *_BATCH, *_CLOUD)
"""Who knows the training best comes first: a trial or a managed task runs inside a job of something larger."""
