"""What is kept where it will not last: seen, sent before the end, or said loudly."""

from __future__ import annotations

import os

import pytest

import respool
from respool import lasting
from respool.autostart import Surroundings


@pytest.fixture
def host(tmp_path):
    """A machine that is no container."""
    (tmp_path / "cgroup").write_text("0::/user.slice\n")
    nowhere = str(tmp_path / "booted")
    return Surroundings({}, container_files=(), cgroup=str(tmp_path / "cgroup"), booted=nowhere)


def test_a_plain_disk_lasts(host, tmp_path):
    assert lasting.fleeting(str(tmp_path), host) is None


def test_memory_does_not(host):
    assert lasting.fleeting("/dev/shm/spool", host) == "/dev/shm/spool is on tmpfs"


def test_a_container_does_not(host, tmp_path):
    inside = host._replace(environ={"container": "podman"})
    assert lasting.fleeting(str(tmp_path), inside) == "this is a container (container=podman)"


@pytest.mark.parametrize("name", ["SLURM_TMPDIR", "PBS_JOBFS"])
def test_a_jobs_own_scratch_does_not(host, tmp_path, name):
    job = host._replace(environ={name: str(tmp_path)})
    assert lasting.fleeting(str(tmp_path / "spool"), job) == (
        f"{tmp_path}/spool is in {name}, which ends with the job"
    )
    assert lasting.fleeting("/var/lib/respool", job) is None


def test_the_environment_knows_better(host):
    assert lasting.fleeting("/dev/shm/x", host._replace(environ={"RESPOOL_LASTING": "1"})) is None
    assert (
        lasting.fleeting("/var/lib", host._replace(environ={"RESPOOL_LASTING": "0"})) == "RESPOOL_LASTING=0"
    )


def test_a_run_that_cannot_be_sent_says_what_will_be_lost_and_what_to_do(monkeypatch, capsys, spool):
    monkeypatch.setenv("RESPOOL_LASTING", "0")
    monkeypatch.setenv("XDG_CONFIG_HOME", os.path.join(spool, "nothing"))
    run = respool.init(project="p", id="r")
    run.log({"a": 1})
    run.finish()
    said = capsys.readouterr().err
    assert "what was logged will be lost with this job: RESPOOL_LASTING=0, and no hub is known" in said
    assert f"Run `respool sync {spool}` before it ends" in said


def test_who_asked_for_no_daemon_is_told_and_nothing_is_sent(monkeypatch, capsys):
    monkeypatch.setattr(lasting, "send", lambda *_: pytest.fail("something was sent"))
    monkeypatch.setenv("RESPOOL_LASTING", "0")
    respool.init(project="p", id="r", mode="spool").finish()
    assert "and mode='spool' asks for no daemon" in capsys.readouterr().err
