"""`respool doctor`: each set-up that cannot work is found, with its cause and advice; a good one is left in peace."""

import json
import os
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from fakes.wandb_names import NAMES
from respool import compat
from respool.autostart import Surroundings
from respoold.cli.doctor import machine, script, storage
from respoold.cli.doctor.finding import Level
from respoold.cli.doctor.surface import Kept, verdict
from unit.cli.fake_hub import Answer, FakeHub
from unit.cli.test_status import a_daemon, a_status

Respool = Callable[..., Answer]

GOOD = """
import respool as wandb, torch
run = wandb.init(project="p", resume=True)
if run.resumed:
    state = torch.load(wandb.restore("m.pt"))
for step in range(run.starting_step, 100):
    wandb.log({"loss": 1}, step=step)
torch.save({}, "m.pt")
wandb.save("m.pt")
"""

OF_A_CLASS = """
import respool
class Trainer:
    def begin(self):
        self.run = respool.init(resume=True)
    def end(self):
        self.run.log_code()
"""


def of(answer: Answer, about: str) -> list[dict]:
    found = [json.loads(line) for line in answer.out.splitlines()]
    return [one for one in found if one["about"] == about]


def checked(text: str) -> list[tuple[str, int]]:
    return [(one.about, one.line) for one in script.check(text, "train.py")]


def healthy(hub: FakeHub, **me) -> None:
    hub.pages["/v1/health"] = {"version": "0.1.0", "incarnation": "i"}
    hub.pages["/v1/me"] = {"user": "ada", "scopes": ["read", "write"], **me}


def test_a_machine_with_daemon_hub_and_key_has_nothing_bad(hub: FakeHub, respool: Respool) -> None:
    healthy(hub)
    with a_daemon(a_status(hub=hub.url)):
        answer = respool("doctor", "--json")
    assert answer.code == 0
    assert [one["level"] for about in ("daemon", "hub", "key") for one in of(answer, about)] == ["good"] * 3


def test_without_hub_and_daemon_both_are_told_with_what_to_do(respool: Respool) -> None:
    answer = respool("doctor", "--json")
    assert answer.code == 1
    assert of(answer, "daemon")[0]["level"] == "warn"
    (hub,) = of(answer, "hub")
    assert hub["level"] == "bad"
    assert "respool login" in hub["advice"]


@pytest.mark.parametrize(
    ("me", "said"),
    [
        ({"scopes": ["read"]}, "may read only"),
        ({"expires_at": time.time() + 3600}, "ends in"),
    ],
)
def test_a_key_that_will_not_do_is_found(hub: FakeHub, respool: Respool, me: dict, said: str) -> None:
    healthy(hub, **me)
    answer = respool("doctor", "--json")
    assert any(said in one["cause"] for one in of(answer, "key"))


def test_a_key_that_the_hub_does_not_know_is_bad(hub: FakeHub, respool: Respool) -> None:
    healthy(hub)
    hub.key = "rsp_another"
    answer = respool("doctor", "--json")
    assert answer.code == 1
    assert any("This key is unknown" in one["cause"] for one in of(answer, "hub"))


def test_a_key_over_plain_http_is_bad(respool: Respool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESPOOL_API_KEY", "rsp_test")
    answer = respool("doctor", "--json", "--hub", "http://hub.example")
    assert any("plain text" in one["cause"] for one in of(answer, "hub"))


def test_a_clock_that_differs_from_the_hubs_is_told(hub: FakeHub, respool: Respool) -> None:
    healthy(hub)
    hub.headers["/v1/health"] = {"Date": formatdate(time.time() + 600, usegmt=True)}
    (skew,) = of(respool("doctor", "--json"), "clock")
    assert "behind the hub's" in skew["cause"]


@pytest.mark.parametrize(("release", "said"), [("0.0.9", "older"), ("9.0.0", "newer")])
def test_a_daemon_of_another_release_is_told(
    hub: FakeHub, respool: Respool, monkeypatch: pytest.MonkeyPatch, release: str, said: str
) -> None:
    healthy(hub)
    # The fake daemon is 0.1.0; it is this package that differs.
    other = {"0.0.9": "1.0.0", "9.0.0": "0.0.1"}[release]
    monkeypatch.setattr("respoold.cli.doctor.hubs.__version__", other)
    with a_daemon(a_status(hub=hub.url)):
        answer = respool("doctor", "--json")
    assert said in of(answer, "daemon")[0]["cause"]


def test_a_socket_that_nobody_serves_is_bad(respool: Respool, tmp_path: Path) -> None:
    os.mkfifo(os.environ["RESPOOL_SOCKET"])
    answer = respool("doctor", "--json")
    assert of(answer, "daemon")[0]["level"] == "bad"


def test_a_nearly_used_up_quota_is_told(hub: FakeHub, respool: Respool) -> None:
    healthy(hub)
    full = {"rows_used": 95, "rows_cap": 100, "blobs_used": 0, "blobs_cap": 100, "disk_free": 1}
    with a_daemon(a_status(hub=hub.url, quota=full)):
        (told,) = of(respool("doctor", "--json"), "quota")
    assert "rows" in told["cause"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [("tmpfs", "gone with"), ("nfs4", "network file system"), ("lustre", "network file system")],
)
def test_a_spool_on_the_wrong_disk_is_told(tmp_path: Path, kind: str, said: str) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / {tmp_path} rw - {kind} x rw\n")
    found = storage.spool(str(tmp_path / "spool"), of_daemon=False, floor=0.0, table=str(table))
    assert any(said in one.cause for one in found)


def test_a_full_disk_is_told_by_the_floor_in_force(respool: Respool, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.statvfs(".").f_bavail / os.statvfs(".").f_blocks
    monkeypatch.setenv("RESPOOL_FREE_FLOOR", str((1 + free) / 2))
    (told,) = of(respool("doctor", "--json"), "disk")
    assert told["level"] == "bad"
    assert "set RESPOOL_FREE_FLOOR to less" in told["advice"]
    with a_daemon(a_status(quota={"disk_free": 1, "disk_floor": 0.0})):
        assert not any(one["level"] == "bad" for one in of(respool("doctor", "--json"), "disk"))


def test_a_container_and_a_batch_job_are_told(tmp_path: Path) -> None:
    environ = {"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": "1", "SLURM_PROCID": "0", "container": "podman"}
    nowhere = str(tmp_path / "no")
    around = Surroundings(environ, nowhere, nowhere, (), nowhere, nowhere)
    found = list(machine.surroundings(around, has_daemon=False))
    assert {one.about for one in found} >= {"job", "container", "autostart"}
    assert any("17" in one.cause for one in found if one.about == "job")


def test_a_good_script_is_left_in_peace() -> None:
    assert checked(GOOD) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("import respool as wandb, torch", "import wandb, torch", [("import", 2)]),
        (", resume=True", "", [("resume", 3)]),
        (", resume=True", ", mode='disabled'", []),
        ("resume=True", "resume='allow'", [("resume", 3)]),
        ("resume=True", "id=wandb.util.generate_id(), resume='allow'", [("resume", 3)]),
        ("range(run.starting_step, 100)", "range(100)", [("step", 7)]),
        ('wandb.restore("m.pt")', '"m.pt"', [("checkpoint", 3)]),
        ('wandb.save("m.pt")', "", [("checkpoint", 8)]),
        ('({}, "m.pt")\nwandb.save("m.pt")', '\nwandb.save("m.pt")\ntorch.save({}, "m.pt")', [("checkpoint", 9)]),
        ("run.resumed", "wandb.nonsense", [("call", 4)]),
        ("run.resumed", "wandb.tensorboard.patch()", [("call", 4)]),
        ("run.resumed", "wandb.run.log_code('.')", [("call", 4)]),
        ("run.resumed", "run.log_code('.')", [("call", 4)]),
        ("run.resumed", "wandb.log_code('.')", [("call", 4)]),
        ("run.resumed", "wandb.util.nothing_like_it()", [("call", 4)]),
        ("run.resumed", "wandb.keras.NoSuchCallback()", [("call", 4)]),
        ("run.resumed", "run.config", []),
        ("run.resumed", "run.settings.mode or wandb.keras.WandbCallback or wandb.Settings().a", []),
        ("resume=True", "resume=True, sync_tensorboard=True", [("call", 3)]),
        ("resume=True", "resume=True, fork_from='x?_step=3'", [("call", 3)]),
        ("resume=True", "resume=True, fork_from='x', monitor_gym=True, x=1", [("call", 3)] * 3),
        ("run.resumed", "wandb.Image(x, masks={}, boxes={})", [("call", 4)]),
        ("run.resumed", "wandb.Image(x, caption='y') or wandb.apis.public.Run", []),
        ("run.resumed", "wandb.apis.public.Nobody", [("call", 4)]),
    ],
)  # fmt: skip
def test_each_fault_of_a_script_is_found_in_its_line(
    before: str, after: str, found: list[tuple[str, int]]
) -> None:
    assert before in GOOD
    assert checked(GOOD.replace(before, after)) == found


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("import wandb", "Write: import respool as wandb"),
        ("import wandb as wb", "Write: import respool as wb"),
        ("import os, wandb", "Write: import os, respool as wandb"),
        ("from wandb import init, log as l", "Write: from respool import init, log as l"),
        ("from wandb.keras import WandbCallback", "Write: from respool.keras import WandbCallback"),
        ("import wandb.util", "Write: import respool as wandb"),
    ],
)
def test_a_script_that_loads_wandb_cannot_work_and_is_told_its_new_line(
    respool: Respool, tmp_path: Path, line: str, advice: str
) -> None:
    (found,) = script.check(line, "train.py")
    assert (found.level, found.advice) == (Level.BAD, advice)
    (tmp_path / "train.py").write_text(line)
    assert respool("doctor", "train.py").code == 1


def test_a_script_that_falls_back_on_wandb_is_only_warned() -> None:
    text = "try:\n    import respool as wandb\nexcept ImportError:\n    import wandb\n"
    assert [(one.level, one.line) for one in script.check(text, "train.py")] == [(Level.WARN, 4)]


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("import respool as wb\nwb.log_code()", "log_code"),
        ("from respool import log_code", "log_code"),
        ("from respool import Nonsense", "Nonsense"),
        ("from respool.integration.lightgbm import log_summary", "integration.lightgbm"),
        ("import respool.sdk.lib.telemetry", "sdk.lib.telemetry"),
        ("from respool import init\ninit(resume=True).to_html()", "run.to_html"),
        (OF_A_CLASS, "run.log_code"),
        ("import respool\nif (r := respool.init(resume=True)): r.write_logs('x')", "run.write_logs"),
        ("import respool\ndef f(run):\n    run.display()", "run.display"),
    ],
)  # fmt: skip
def test_what_respool_lacks_is_found_under_every_spelling(text: str, lacking: str) -> None:
    (found,) = script.check(text, "train.py")
    assert found.about == "call"
    assert lacking in found.cause.replace("'", " ").split()


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess, respool\nrun = subprocess.run([])\nrun.returncode",
        "def f(run):\n    run.anything()",
        "import respool\nfor run in respool.Api().runs('p'):\n    run.history()\n    run.scan_history()",
        "from respool.integration.keras import WandbMetricsLogger\nfrom respool import *",
        "import respool\nrespool.plot.line_series([], [])\nrespool.errors.UsageError\nrespool.util.generate_id()",
    ],
)
def test_what_is_not_ours_or_is_there_is_left_in_peace(text: str) -> None:
    assert script.check(text, "train.py") == []


def test_what_the_doctor_calls_lacking_is_what_the_module_lacks() -> None:
    told = {name for name in NAMES["wandb"] if verdict((name,)).kept is not Kept.YES}
    assert told - {"wandb"} == {name for name in compat.NAMES if name in NAMES["wandb"]}
    of_run = {name for name in NAMES["Run"] if verdict(("run", name)).kept is not Kept.YES}
    assert "log_code" in of_run
    assert not of_run & {"config", "summary", "log", "step", "settings"}


def test_a_step_that_begins_again_with_every_epoch_is_found() -> None:
    text = "import respool\nfor epoch in range(3):\n    for i in range(9):\n        respool.log({}, step=i)\n"
    (found,) = script.check(text, "train.py")
    assert (found.level, found.line) == (Level.WARN, 4)
    assert "line 2" in found.cause


def test_a_script_is_never_run_and_one_that_is_none_is_a_usage_error(
    respool: Respool, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("open('ran', 'w').write('x')\nimport wandb\n")
    assert "Write: import respool as wandb" in respool("doctor", "train.py").out
    assert not (tmp_path / "ran").exists()
    (tmp_path / "no.py").write_text("def (:")
    assert respool("doctor", "no.py").code == 2
    assert respool("doctor", "missing.py").code == 2
