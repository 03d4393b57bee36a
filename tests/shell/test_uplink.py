"""One uplink for each user and hub: nobody waits for another's flood, key or dead hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from respoold.config import Config
from respoold.core.errors import HubDenied
from respoold.core.hubapi import Problem
from respoold.core.schedule import SLOTS, Priority, Stream
from respoold.io.hub import Credential
from respoold.tasks.uplink import Uplink, Uplinks

HUB = "https://hub.example"
REFUSED = HubDenied(Problem("unauthorized", "The API key was revoked."))
ADA, BOB = 4_000_001, 4_000_002


@pytest.fixture(autouse=True)
def _nobody_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def config(**more: object) -> Config:
    return Config(spool="/s", socket="/s/d.sock", hub=HUB, **more)  # type: ignore[arg-type]


def login(tmp_path: Path, key: str, url: str = HUB, *, more: str = "") -> None:
    path = tmp_path / "respool/credentials.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'[hubs."{url}"]\napi_key = "{key}"\n{more}')
    path.chmod(0o600)


async def test_a_users_flood_takes_no_slot_of_anothers() -> None:
    uplinks = Uplinks(config())
    ada, bob = uplinks.of(ADA, None), uplinks.of(BOB, None)
    assert ada is not None
    assert bob is not None
    for number in range(1000):
        ada.schedule.offer(Stream(Priority.ROWS, f"ada-{number}"))
    assert len(ada.schedule.take(trio.current_time())) == SLOTS[Priority.ROWS]
    bob.schedule.offer(Stream(Priority.ROWS, "bob"))
    assert bob.schedule.take(trio.current_time()) == [Stream(Priority.ROWS, "bob")]


async def test_a_users_dead_hub_and_refused_key_are_nobody_elses() -> None:
    uplinks = Uplinks(config(hubs=(HUB, "https://other.example")))
    ada, elsewhere, bob = (
        uplinks.of(ADA, None),
        uplinks.of(ADA, "https://other.example/"),
        uplinks.of(BOB, HUB),
    )
    assert ada is not None
    assert elsewhere is not None
    assert bob is not None
    elsewhere.failed("no answer")
    assert (ada.open, elsewhere.open, bob.open) == (True, False, True)
    assert uplinks.of(ADA, HUB + "/") is ada
    assert uplinks.of_user(ADA) == [ada, elsewhere]


async def test_one_hub_for_all_is_the_one_whatever_a_run_names() -> None:
    uplink = Uplinks(config(one_hub=True)).of(ADA, "https://other.example")
    assert uplink is not None
    assert uplink.url == HUB


async def test_others_use_the_administrators_hubs_and_the_daemons_own_user_any() -> None:
    uplinks = Uplinks(config(hubs=("https://other.example",)))
    for hub in (None, HUB, HUB + "/", "https://other.example"):
        assert uplinks.refusal(ADA, hub) is None
    assert "https://evil.example" in (uplinks.refusal(ADA, "https://evil.example") or "")
    assert uplinks.refusal(os.geteuid(), "https://evil.example") is None


async def test_a_shared_key_says_for_whom_it_is_shown_and_ones_own_does_not() -> None:
    uplinks = Uplinks(config(api_key="rsp_shared"))
    other, own = uplinks.of(ADA, None), uplinks.of(os.geteuid(), None)
    assert other is not None
    assert own is not None
    assert other.hub.credential == Credential("rsp_shared", f"uid{ADA}")
    assert own.hub.credential == Credential("rsp_shared")


async def test_one_who_uploads_by_hand_does_so_for_himself_whoever_owns_the_files() -> None:
    uplinks = Uplinks(config(api_key="rsp_mine"))
    uplinks.alone = True
    other = uplinks.of(ADA, None)
    assert other is not None
    assert other.hub.credential == Credential("rsp_mine")


async def test_a_key_that_was_replaced_is_found_when_the_old_one_is_refused(tmp_path: Path) -> None:
    login(tmp_path, "rsp_old")
    uplink = Uplink(config(api_key="rsp_old"), HUB, os.geteuid())
    assert not uplink.refused(REFUSED), "there is no other"
    login(tmp_path, "rsp_new")
    assert uplink.refused(REFUSED)
    assert uplink.hub.credential == Credential("rsp_new")


async def test_a_key_that_comes_later_is_found(tmp_path: Path) -> None:
    uplink = Uplink(config(), HUB, os.geteuid())
    assert uplink.hub.credential is None
    login(tmp_path, "rsp_new")
    uplink.look_for_key()
    assert uplink.hub.credential == Credential("rsp_new")


@pytest.mark.parametrize("url", ["http://192.0.2.1:8787", "http://hub.example"])
async def test_no_key_crosses_a_network_in_plain_text(tmp_path: Path, url: str) -> None:
    login(tmp_path, "rsp_mine", url)
    uplink = Uplink(config(), url, os.geteuid())
    assert uplink.hub.credential is None
    assert not uplink.open
    assert "--insecure" in (uplink.why or "")
    assert uplink.door("rsp_own").credential is None, "nor does a user's own"
    login(tmp_path, "rsp_mine", url, more="insecure = true\n")
    uplink.look_for_key()
    assert uplink.open
    assert uplink.hub.credential == Credential("rsp_mine")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8787", "http://[::1]:8787", "http://localhost:1", "unix:/h.sock"]
)
async def test_this_machine_is_no_network(tmp_path: Path, url: str) -> None:
    login(tmp_path, "rsp_mine", url)
    assert Uplink(config(), url, os.geteuid()).hub.credential == Credential("rsp_mine")


async def test_a_credentials_file_that_others_read_is_said_and_not_used(tmp_path: Path) -> None:
    login(tmp_path, "rsp_mine")
    (tmp_path / "respool/credentials.toml").chmod(0o644)
    uplink = Uplink(config(), HUB, os.geteuid())
    assert uplink.hub.credential is None
    assert "chmod 600" in (uplink.why or "")


async def test_who_caught_up_while_a_heartbeat_was_on_its_way_is_told_of_by_the_next() -> None:
    uplink = Uplink(config(), HUB, os.geteuid())
    uplink.caught_up = {"early": [0]}
    known = dict(uplink.caught_up)
    uplink.caught_up["late"] = [0]
    behind = {"pending_records": 9, "pending_files": 0}
    uplink.told_of({"early": behind | {"pending_records": 0}, "late": behind, "other": behind}, known)
    assert (uplink.caught_up, uplink._told) == ({"late": [0]}, {"other"})
