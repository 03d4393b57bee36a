"""What a process is called by its scheduler, by its launch, and which place it has there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import respool
from respool.launch import VARIABLE, Launch, base_of, fresh_id, launch_of
from respool.rank import ALONE, Rank, rank_of
from respool.schedulers import jobs_of
from respool.wire.identity import run_id_of

SLURM = {"SLURM_JOB_ID": "1234", "SLURM_CLUSTER_NAME": "jz", "SLURM_PROCID": "0", "ENVIRONMENT": "BATCH"}
TORCH = {
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "train-3", "JOB_COMPLETION_INDEX": "3"}
UUID = "0a1b2c3d-1111-2222-3333-444455556666"


@pytest.mark.parametrize(
    ("environ", "identity", "life", "task"),
    [
        ({}, "", 0, ""),
        (SLURM, "slurm:jz:1234", 0, ""),
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2"}, "slurm:7", 2, ""),
        (
            {**SLURM, "SLURM_ARRAY_JOB_ID": "33", "SLURM_ARRAY_TASK_ID": "4", "SLURM_JOB_ID": "34"},
            "slurm:jz:33_4",
            0,
            "4",
        ),
        ({**SLURM, "SLURM_HET_JOB_ID": "1233"}, "slurm:jz:1233", 0, ""),
        ({**SLURM, "SLURM_PACK_JOB_ID": "1233"}, "slurm:jz:1233", 0, ""),
        ({**SLURM, "SLURM_JOB_NAME": "interactive"}, "slurm:jz:1234", 0, ""),
        ({"LSB_JOBID": "9", "LSB_JOBINDEX": "0", "LSB_RESTART": "Y"}, "lsf:9", 1, ""),
        ({"LSB_JOBID": "9", "LSB_JOBINDEX": "2"}, "lsf:9_2", 0, "2"),
        ({"PBS_JOBID": "12.pbs01"}, "pbs:pbs01:12", 0, ""),
        ({"PBS_JOBID": "12[3].pbs01", "PBS_ARRAY_INDEX": "3"}, "pbs:pbs01:12_3", 0, "3"),
        ({"PBS_JOBID": "12-3.torque", "PBS_ARRAYID": "3"}, "pbs:torque:12_3", 0, "3"),
        ({"JOB_ID": "5", "SGE_TASK_ID": "undefined", "RESTARTED": "1"}, "sge:5", 1, ""),
        ({"JOB_ID": "5", "SGE_TASK_ID": "8", "SGE_CELL": "main"}, "sge:main:5_8", 0, "8"),
        ({"JOB_ID": "5"}, "", 0, ""),
        ({"AWS_BATCH_JOB_ID": "ab", "AWS_BATCH_JOB_ATTEMPT": "3"}, "aws-batch:ab", 2, ""),
        ({"AWS_BATCH_JOB_ID": "ab:5", "AWS_BATCH_JOB_ARRAY_INDEX": "5"}, "aws-batch:ab:5", 0, "5"),
        ({"AWS_BATCH_JOB_ID": "ab#2", "AWS_BATCH_JOB_NODE_INDEX": "2"}, "aws-batch:ab", 0, ""),
        (POD, "k8s:train_3", 0, "3"),
        ({**POD, "JOB_UID": "u", "POD_NAMESPACE": "ml"}, "k8s:ml:u_3", 0, "3"),
        ({**POD, "HOSTNAME": "pod"}, "", 0, "3"),
        ({**POD, "GROUP_RANK": "3", "GROUP_WORLD_SIZE": "4"}, "k8s:train", 0, ""),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "notebook-x7"}, "", 0, ""),
        ({"SKYPILOT_TASK_ID": "sky-managed-2026-01-01-00-00-00-000000_fit_12-0"}, "sky:fit_12-0", 0, ""),
        ({"DET_TRIAL_ID": "77", "DET_TRIAL_RUN_ID": "2"}, "determined:77", 2, ""),
        ({"TRAINING_JOB_NAME": "bert-1"}, "sagemaker:bert-1", 0, ""),
        ({"TORCHELASTIC_RUN_ID": "exp", "TORCHELASTIC_RESTART_COUNT": "2"}, "torchelastic:exp", 0, ""),
        ({**TORCH, **SLURM, "SLURM_RESTART_COUNT": "1"}, "slurm:jz:1234", 1, ""),
    ],
)
def test_the_job_keeps_its_name_in_all_of_its_lives(environ, identity, life, task):
    launch = launch_of(environ)
    assert (launch.identity, launch.restart_count, launch.task) == (identity, life, task)


@pytest.mark.parametrize(
    "environ",
    [
        {**SLURM, "SLURM_JOB_NAME": "interactive", "ENVIRONMENT": ""},
        {**SLURM, "SLURM_PTY_PORT": "4711"},
        {**SLURM, "SLURM_STEP_ID": "4294967290"},
        {"PBS_JOBID": "1.s", "PBS_ENVIRONMENT": "PBS_INTERACTIVE"},
        {"LSB_JOBID": "1", "LSB_INTERACTIVE": "Y"},
        {"JOB_ID": "1", "SGE_TASK_ID": "undefined", "JOB_NAME": "QRLOGIN"},
        {"TORCHELASTIC_RUN_ID": "none"},
        {"TORCHELASTIC_RUN_ID": UUID},
    ],
)
def test_what_does_not_come_again_is_no_identity(environ):
    launch = launch_of(environ)
    assert (launch.identity, base_of(launch), launch.restart_count) == ("", "", 0)


def test_condors_job_is_read_from_its_description(tmp_path):
    path = tmp_path / ".job.ad"
    path.write_text(
        'ClusterId = 12\nProcId = 3\nNumJobStarts = 2\nGlobalJobId = "submit.org#12.3#1700000000"\nCmd = "x=y"\n'
    )
    environ = {"_CONDOR_JOB_AD": str(path)}
    launch = launch_of(environ)
    assert (launch.identity, launch.restart_count, launch.task) == ("condor:submit.org:12.3", 2, "3")
    path.write_text("ClusterId = 12\nProcId = 3\nInteractiveJob = true\n")
    assert launch_of(environ).identity == ""
    path.write_text("\0garbage")
    assert jobs_of(environ) == []
    assert jobs_of({"_CONDOR_JOB_AD": str(tmp_path)}) == []


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({}, ALONE),
        ({"RANK": "3"}, ALONE),
        ({"RANK": "4", "WORLD_SIZE": "4"}, ALONE),
        ({"RANK": "-1", "WORLD_SIZE": "4"}, ALONE),
        ({"RANK": "3", "WORLD_SIZE": "4"}, Rank(3, 4, "RANK")),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "8"}, Rank(2, 8, "OMPI_COMM_WORLD_RANK")),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, Rank(1, 2, "PMI_RANK")),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, ALONE),
        ({"SLURM_PROCID": "0", "SLURM_STEP_ID": "4294967291"}, ALONE),
        (
            {"SLURM_PROCID": "5", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "8"},
            Rank(5, 8, "SLURM_PROCID"),
        ),
        (
            {"SLURM_PROCID": "1", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "RANK": "9", "WORLD_SIZE": "16"},
            Rank(9, 16, "RANK"),
        ),
        ({"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2"}, Rank(1, 2, "SKYPILOT_NODE_RANK")),
    ],
)  # fmt: skip
def test_the_rank_is_the_finest_division_that_makes_sense(environ, rank):
    assert rank_of(environ) == rank


def test_all_ranks_of_a_launch_name_it_alike_and_its_next_life_is_another():
    ranks = [{**SLURM, **TORCH, "RANK": str(rank)} for rank in range(4)]
    names = {launch_of(environ).name for environ in ranks}
    assert len(names) == 1
    assert [launch_of(environ).rank for environ in ranks] == [0, 1, 2, 3]
    restarted = {**SLURM, **TORCH, "TORCHELASTIC_RESTART_COUNT": "1"}
    requeued = {**SLURM, **TORCH, "SLURM_RESTART_COUNT": "1"}
    step = {**SLURM, **TORCH, "SLURM_STEP_ID": "1"}
    assert len({launch_of(environ).name for environ in (restarted, requeued, step)} | names) == 4


def test_components_of_a_heterogeneous_job_are_one_launch():
    parts = [{**SLURM, "SLURM_JOB_ID": job, "SLURM_HET_JOB_ID": "1234"} for job in ("1234", "1235")]
    assert launch_of(parts[0]).name == launch_of(parts[1]).name


def test_two_processes_of_nobodys_are_two_launches_and_of_one_job_are_two_of_rank_0():
    assert launch_of({}).name != launch_of({}).name
    assert (launch_of(SLURM).name, launch_of(SLURM).rank) == (launch_of(SLURM).name, 0)


def exported(launch: Launch, pid: int) -> str:
    return launch.exported.rpartition(":")[0] + f":{pid}"


@pytest.mark.parametrize("environ", [{}, SLURM, {**SLURM, **TORCH}, TORCH])
def test_a_descendant_names_the_same_launch_and_has_no_rank_of_its_own(environ):
    first = launch_of(environ)
    child = launch_of(environ, exported(first, 1))
    assert (child.name, child.rank) == (first.name, -1)
    grandchild = launch_of(environ, exported(child, 2))
    assert (grandchild.name, grandchild.rank) == (first.name, -1)


def test_a_second_init_and_an_exec_keep_the_rank():
    first = launch_of(TORCH)
    assert launch_of(TORCH, first.exported)[:2] == (first.name, 1)
    child = launch_of(TORCH, exported(first, 1))
    assert launch_of(TORCH, child.exported)[:2] == (first.name, -1)


def test_ranks_that_a_driver_starts_are_a_launch_of_their_own():
    driver = launch_of(SLURM)
    worker = launch_of({**SLURM, **TORCH, "RANK": "0"}, exported(driver, 1))
    assert worker.name != driver.name
    assert worker.rank == 0


def test_a_job_that_was_submitted_from_inside_another_one_is_not_that_one():
    first = launch_of(SLURM)
    second = launch_of({**SLURM, "SLURM_JOB_ID": "1235"}, exported(first, 1))
    assert second.name == launch_of({**SLURM, "SLURM_JOB_ID": "1235"}).name
    assert (second.identity, second.rank) == ("slurm:jz:1235", 0)


def test_a_launch_that_somebody_named_is_joined_by_whoever_has_no_rank():
    assert launch_of({}, "mine")[:2] == ("mine", -1)
    assert launch_of({"OMPI_COMM_WORLD_RANK": "2"}, "mine").rank == 2
    assert launch_of({}, "mine+taken:garbage")[:2] == ("mine", -1)


def test_the_base_is_a_readable_run_id_that_differs_by_program_and_cluster(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    base = base_of(launch_of(SLURM))
    assert base.startswith("slurm-1234-")
    assert base == base_of(launch_of({**SLURM, "SLURM_RESTART_COUNT": "3", "SLURM_STEP_ID": "2"}))
    assert base != base_of(launch_of({**SLURM, "SLURM_CLUSTER_NAME": "other"}))
    monkeypatch.setattr(sys, "argv", ["eval.py"])
    assert base != base_of(launch_of(SLURM))
    longest = base_of(launch_of({"TORCHELASTIC_RUN_ID": "é/" * 99}))
    assert run_id_of(longest) == longest
    assert len(longest) < 60


def test_ranks_draw_one_id_for_a_run_that_nobody_named_and_strangers_another(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--local_rank=1"])
    ids = {fresh_id(launch_of({**TORCH, "RANK": str(rank)}), 0) for rank in range(4)}
    assert len(ids) == 1
    assert len(ids.pop()) == 8
    assert fresh_id(launch_of(TORCH), 0) != fresh_id(launch_of(TORCH), 1)
    assert fresh_id(launch_of(SLURM), 0) != fresh_id(launch_of(SLURM), 0)
    elsewhere = {**TORCH, "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "exp"}
    assert fresh_id(launch_of(elsewhere), 0) != fresh_id(launch_of(elsewhere), 0)


NAMES = "import os; from respool.launch import launch_of; print(launch_of(os.environ).name)"


def named(rank, command):
    """The launch's name in a process that was given this rank, behind a shell or two."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "RESPOOL"))}
    inner = {"PYTHON": sys.executable, "NAMES": NAMES, "INNER": INNER}
    given = {**TORCH, "RANK": str(rank), "LOCAL_RANK": str(rank), **inner}
    done = subprocess.run(["sh", "-c", command], env=own | given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


INNER = '"$PYTHON" -c "$NAMES"; true'


def test_ranks_behind_a_shell_each_are_of_one_launch():
    names = {named(0, INNER), named(1, INNER), named(2, 'A=1 sh -c "$INNER"; true')}
    assert len(names) == 1
    assert f".{os.getpid()}." in names.pop()


PROGRAM = "import sys; from respool.process import program; print(program())"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-c", PROGRAM], "-c"),
        (["train.py"], "train.py"),
        (["-m", "pkg"], "-m pkg"),
        (["-m", "pkg.train"], "-m pkg.train"),
        (["-m", "cProfile", "-o", "out", "train.py"], "train.py"),
    ],
)
def test_a_program_is_its_script_or_its_module(tmp_path, words, expected):
    (tmp_path / "pkg").mkdir()
    for name in ("train.py", "pkg/__init__.py", "pkg/__main__.py", "pkg/train.py"):
        (tmp_path / name).write_text("" if name.endswith("__init__.py") else PROGRAM)
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
    whole = os.path.realpath(tmp_path / expected) if expected.endswith(".py") else expected
    assert done.stdout.strip() == whole


def test_a_submitted_python_file_is_its_jobs_name_not_its_copys_path(monkeypatch):
    from respool.process import program

    monkeypatch.setattr(sys, "argv", ["/var/spool/slurmd/job00012/slurm_script"])
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_JOB_NAME", "fit")
    monkeypatch.setenv("SLURM_SUBMIT_DIR", "/home/u/fit")
    monkeypatch.setitem(sys.modules, "__main__", sys)
    assert program() == "slurm fit /home/u/fit"


def test_the_launch_is_exported_to_what_the_script_starts():
    respool.init(project="p", mode="spool")
    name, _, taken = os.environ[VARIABLE].partition("+")
    assert name.startswith("own:")
    assert taken == f"taken:0:0:{os.getpid()}"
