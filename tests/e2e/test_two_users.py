"""Promise P8: one node, many users. Nobody reads, changes or crowds out what is another's."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import Any

import httpx
import pytest

from e2e.processes import until
from e2e.sites import Site

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two other users")

ADA, BOB = 2001, 2002
AS_USER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "as_user.py")
TRAINER = """
import json, sys, respool
project, run_id, steps, said = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
run = respool.init(project=project, id=run_id, resume="allow")
print(json.dumps([run.attempt_id, run.step, run.entity]), flush=True)
for step in range(steps):
    run.log({"loss": float(step)})
with open("model.pt", "w") as file:
    file.write(said)
run.save("model.pt", policy="now")
run.finish()
"""


class House:
    """One daemon for everybody, and people with homes of their own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        os.chmod(site.root, 0o711)
        self.place = site.path("run")
        os.makedirs(self.place, mode=0o755)
        self.socket = os.path.join(self.place, "d.sock")
        site.node.socket = self.socket
        site.node.daemon.argv[site.node.daemon.argv.index("--socket") + 1] = self.socket
        for uid in (ADA, BOB):
            os.makedirs(self.home(uid), mode=0o700)
            os.chown(self.home(uid), uid, uid)

    def home(self, uid: int) -> str:
        return self.site.path(f"u{uid}")

    def environ(self, uid: int, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return {**kept, "HOME": self.home(uid), "RESPOOL_SOCKET": self.socket, **more}

    def call(self, uid: int, kind: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Python code with its arguments ("code"), or a command ("respool"), as another user."""
        return subprocess.run(
            [sys.executable, AS_USER, str(uid), kind, *words],
            env=self.environ(uid, **more),
            cwd=self.home(uid),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )

    def train(self, uid: int, run_id: str, steps: int = 20, said: str = "weights", **more: str) -> Any:
        """A training to its end; what init() answered."""
        done = self.call(uid, "code", TRAINER, "shared", run_id, str(steps), said, **more)
        assert done.returncode == 0, done.stdout + done.stderr + self.site.node.daemon.words()
        return json.loads(done.stdout.splitlines()[-1])

    def status(self, uid: int) -> dict[str, Any]:
        done = self.call(uid, "respool", "status", "--json")
        assert done.returncode in {0, 1}, done.stderr
        return dict(json.loads(done.stdout))

    def hub(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=self.site.hub_url.removeprefix("unix:"))
        headers = {"Authorization": f"Bearer {self.site.key()}"}
        return httpx.Client(transport=transport, base_url="http://hub", headers=headers)

    def runs(self) -> dict[str, dict[str, Any]]:
        """By whole path, as an admin sees them."""
        with self.hub() as hub:
            found = hub.get("/v1/runs").json()["runs"]
        return {f"{run['entity']}/{run['project']}/{run['run_id']}": run for run in found}

    def key(self, user: str) -> tuple[str, str]:
        with self.hub() as hub:
            made = hub.post("/v1/keys", json={"user": user, "scope": "write"}).json()
        return made["key_id"], made["key"]

    def revoke(self, key_id: str) -> None:
        with self.hub() as hub:
            assert hub.delete(f"/v1/keys/{key_id}").status_code == 200


@pytest.fixture
def house(site: Site) -> House:
    made = House(site)
    site.open()
    return made


def finished(house: House, path: str, rows: int) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        run = house.runs().get(path)
        return run if run and run["rows"] == rows and run["state"] == "finished" else None

    return until(there, f"{path} at the hub", 40, house.site.words)


@pytest.mark.slow
def test_one_name_used_by_two_users_is_two_runs_which_neither_sees_of_the_other(house: House) -> None:
    first = house.train(ADA, "run", 20, "ada's weights")
    finished(house, "admin+uid2001/shared/run", 20)
    second = house.train(BOB, "run", 30, "bob's weights")
    finished(house, "admin+uid2002/shared/run", 30)
    assert first[0] != second[0]
    assert second[1] == 0, "bob does not continue ada's run"
    for uid, other in ((ADA, "2002"), (BOB, "2001")):
        assert other not in json.dumps(house.status(uid)["runs"])
    restored = house.call(
        BOB,
        "code",
        "import respool; respool.init(project='shared', id='mine');"
        "print(open(respool.restore('model.pt', run_path='shared/run', replace=True).name).read())",
    )
    assert restored.stdout.splitlines()[-1] == "bob's weights", restored.stderr
    stolen = house.call(
        BOB,
        "code",
        "import respool; respool.init(project='shared', id='mine');"
        "respool.restore('model.pt', run_path='admin+uid2001/shared/run', root='there')",
    )
    assert stolen.returncode != 0
    assert not os.path.exists(os.path.join(house.home(BOB), "there", "model.pt"))


@pytest.mark.slow
def test_nobody_but_the_daemon_reads_the_spool_and_its_credentials(house: House) -> None:
    _, key = house.key("ada")
    house.train(ADA, "run", RESPOOL_API_KEY=key)
    until(lambda: not house.status(ADA)["runs"], "the run at the hub", why=house.site.words)
    house.site.hub.kill()
    house.train(ADA, "more", RESPOOL_API_KEY=key)
    spool = house.site.node.spool
    for folder, folders, files in os.walk(spool):
        for name in [*folders, *files]:
            found = os.stat(os.path.join(folder, name))
            assert not stat.S_IMODE(found.st_mode) & 0o077, os.path.join(folder, name)
    assert stat.S_IMODE(os.stat(os.path.join(spool, "v1")).st_mode) == 0o700
    text = subprocess.run(["grep", "-rl", key, spool, house.home(ADA)], capture_output=True, text=True)
    assert text.stdout == "", "a key is written nowhere"
    for uid in (ADA, BOB):
        assert "PermissionError" in house.call(uid, "code", f"import os; os.listdir({spool!r})").stderr
    assert house.call(BOB, "respool", "spool", "ls", "--json", "--all-users").stdout == ""
    assert "Removed 0 attempts" in house.call(BOB, "respool", "spool", "purge", "--force", "--yes").stdout
    assert [run["run_id"] for run in house.status(ADA)["runs"]] == ["more"]


def test_a_key_of_ones_own_is_exchanged_and_the_run_is_in_its_account(house: House) -> None:
    _, key = house.key("ada")
    assert house.train(ADA, "run", RESPOOL_API_KEY=key)[2] == "ada"
    finished(house, "ada/shared/run", 20)
    assert house.train(ADA, "other")[2] == "admin+uid2001", "without a key it is the daemon's"
    folder = os.path.join(house.home(ADA), ".config/respool")
    # What `respool login` leaves; this hub's socket is root's, so that she cannot log in there.
    os.makedirs(folder, mode=0o700)
    path = os.path.join(folder, "credentials.toml")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(f'[hubs."{house.site.hub_url}"]\napi_key = "{key}"\n')
    subprocess.run(["chown", "-R", f"{ADA}:{ADA}", os.path.join(house.home(ADA), ".config")], check=True)
    assert house.train(ADA, "third")[2] == "ada"


@pytest.mark.slow
def test_a_revoked_key_stops_its_own_runs_and_nobody_elses(house: House) -> None:
    site = house.site
    key_id, key = house.key("ada")
    house.train(ADA, "run", RESPOOL_API_KEY=key)
    finished(house, "ada/shared/run", 20)
    site.hub.stop()
    house.train(ADA, "late", RESPOOL_API_KEY=key)
    site.hub.start()
    house.revoke(key_id)
    house.train(BOB, "run")
    finished(house, "admin+uid2002/shared/run", 20)

    def held() -> dict[str, Any] | None:
        mine = [run for run in house.status(ADA)["runs"] if run["run_id"] == "late"]
        return mine[0] if mine and mine[0]["why"] and "key" in mine[0]["why"] else None

    assert "respool login" in until(held, "ada's run held", 40, site.words)["advice"]
    assert house.status(BOB)["warnings"] == []
    assert house.status(BOB)["hub_reachable"] is True
    _, new = house.key("ada")
    house.train(ADA, "again", RESPOOL_API_KEY=new)
    finished(house, "ada/shared/late", 20)


def test_a_hub_beside_the_administrators_is_refused_to_others(house: House) -> None:
    elsewhere = {"RESPOOL_HUB_URL": "https://elsewhere.example"}
    done = house.call(ADA, "code", TRAINER, "shared", "run", "5", "x", **elsewhere)
    assert done.returncode != 0
    assert "his daemon does not serve the hub https://elsewhere.example" in done.stderr
    assert house.site.hub_url in done.stderr
