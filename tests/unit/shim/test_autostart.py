"""What speaks against starting a daemon, sign by sign, and one starter at a time."""

from __future__ import annotations

import fcntl
import os
import socket
import time

import pytest

import respool
from respool import autostart
from respool.autostart import Surroundings, refusal


@pytest.fixture
def home(tmp_path):
    """A home that has logged in, on a machine where nothing speaks against a daemon."""
    config = tmp_path / "config" / "respool"
    config.mkdir(parents=True)
    (config / "credentials.toml").write_text("")
    (tmp_path / "cgroup").write_text("0::/user.slice/user-1000.slice/session-2.scope\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    return Surroundings(
        environ,
        system_config=str(tmp_path / "etc-respool"),
        system_socket=str(tmp_path / "system.sock"),
        container_files=(str(tmp_path / "dockerenv"), str(tmp_path / "containerenv")),
        cgroup=str(tmp_path / "cgroup"),
        booted=str(tmp_path / "booted"),
    )


def among(home, **environ):
    return home._replace(environ={**home.environ, **environ})


def test_nothing_speaks_against_it_for_a_user_who_logged_in(home):
    assert refusal(home) is None


@pytest.mark.parametrize(
    ("environ", "job"),
    [
        ({"SLURM_JOB_ID": "17", "SLURM_CLUSTER_NAME": "c"}, "slurm:c:17"),
        ({"SLURM_JOB_ID": "17", "SLURM_JOB_NAME": "interactive"}, "slurm:17"),
        ({"LSB_JOBID": "17"}, "lsf:17"),
        ({"PBS_JOBID": "17.server"}, "pbs:server:17"),
        ({"JOB_ID": "17", "SGE_TASK_ID": "undefined"}, "sge:17"),
        ({"AWS_BATCH_JOB_ID": "17"}, "aws-batch:17"),
        ({"TRAINING_JOB_NAME": "17"}, "sagemaker:17"),
        ({"DET_TRIAL_ID": "17"}, "determined:17"),
    ],
)
def test_a_batch_job_speaks_against_it(home, environ, job):
    assert refusal(among(home, **environ)) == f"{job}: a batch job, whose end would kill it"


def test_several_processes_of_torchrun_are_no_batch_job(home):
    assert refusal(among(home, TORCHELASTIC_RUN_ID="none", MASTER_ADDR="localhost", RANK="1")) is None


def test_a_container_that_booted_a_systemd_is_a_machine(home):
    os.mkdir(home.booted)
    assert refusal(among(home, container="lxc")) is None


@pytest.mark.parametrize("name", ["container", "KUBERNETES_SERVICE_HOST"])
def test_the_environment_of_a_container_speaks_against_it(home, name):
    assert refusal(among(home, **{name: "x"})) == f"{name}=x: a container, whose end would kill it"


@pytest.mark.parametrize("number", [0, 1])
def test_the_mark_of_a_container_speaks_against_it(home, number):
    path = home.container_files[number]
    with open(path, "w"):
        pass
    assert refusal(home) == f"{path}: a container, whose end would kill it"


@pytest.mark.parametrize(
    ("group", "sign"),
    [
        ("12:memory:/docker/0123abcd", "docker"),
        ("0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-01.scope", "containerd"),
        ("0::/machine.slice/libpod-01.scope", "libpod"),
        ("0::/lxc.payload.box", "lxc"),
    ],
)
def test_the_control_group_of_a_container_speaks_against_it(home, group, sign):
    with open(home.cgroup, "w") as file:
        file.write(group)
    assert refusal(home) == f"{home.cgroup} names {sign}: a container, whose end would kill it"


def test_a_named_socket_speaks_against_it(home):
    assert "RESPOOL_SOCKET=/x names the daemon" in str(refusal(among(home, RESPOOL_SOCKET="/x")))


@pytest.mark.parametrize("which", ["system_config", "system_socket"])
def test_what_the_administrator_installed_speaks_against_it(home, which):
    path = getattr(home, which)
    with open(path, "w"):
        pass
    assert refusal(home) == f"{path}: the administrator decides about daemons here"


def test_without_a_hub_there_is_nothing_to_start_it_for(home, tmp_path):
    os.unlink(tmp_path / "config" / "respool" / "credentials.toml")
    assert "no hub is known" in str(refusal(home))
    assert refusal(among(home, RESPOOL_HUB_URL="https://hub.example")) is None


def test_who_says_no_is_obeyed_and_who_says_yes_too(home):
    assert refusal(among(home, RESPOOL_AUTOSTART="0")) == "RESPOOL_AUTOSTART=0"
    assert refusal(among(home, RESPOOL_AUTOSTART="1", SLURM_JOB_ID="17", container="x")) is None
    with pytest.raises(respool.UsageError, match="RESPOOL_AUTOSTART is 'perhaps'"):
        refusal(among(home, RESPOOL_AUTOSTART="perhaps"))


def test_not_even_who_says_yes_gets_a_daemon_that_is_not_installed(home, monkeypatch):
    monkeypatch.setattr(autostart, "_NEEDED", ("respoold", "no_such_module"))
    why = "no_such_module is not installed; pip install 'respool[daemon]'"
    assert refusal(among(home, RESPOOL_AUTOSTART="1")) == why


def test_who_comes_second_starts_none_and_waits_for_the_firsts(home, tmp_path, monkeypatch):
    monkeypatch.setattr(autostart, "_launch", lambda *_: pytest.fail("a second daemon was started"))
    log = tmp_path / "state" / "respool" / "log" / f"daemon-{os.uname().nodename}.log"
    log.parent.mkdir(parents=True)
    path = str(tmp_path / "d.sock")
    with open(f"{log}.lock", "w") as lock, socket.socket(socket.AF_UNIX) as listener:
        fcntl.flock(lock, fcntl.LOCK_EX)
        begin = time.monotonic()
        assert not autostart.start(path, home, seconds=0.2)
        assert 0.2 <= time.monotonic() - begin < 2.0
        listener.bind(path)
        listener.listen()
        assert autostart.start(path, home, seconds=5.0)


def test_a_daemon_that_ends_at_once_is_not_waited_for(home, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(autostart.sys, "executable", "/bin/false")
    begin = time.monotonic()
    assert not autostart.start(str(tmp_path / "d.sock"), home, seconds=20.0)
    assert time.monotonic() - begin < 10.0
    assert "going on without it. Its log is" in capsys.readouterr().err


def test_a_state_folder_that_cannot_be_made_is_a_line_and_no_error(home, tmp_path, capsys):
    nowhere = among(home, XDG_STATE_HOME="/proc/nothing")
    assert not autostart.start(str(tmp_path / "d.sock"), nowhere, seconds=5.0)
    assert "no daemon could be started" in capsys.readouterr().err
