"""One daemon, several hubs; keys that are replaced while it runs."""

from __future__ import annotations

import os
from typing import Any

from e2e.hub_view import HubView
from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site, respool
from e2e.truths import account


def credentials(site: Site, **keys: str) -> None:
    """What `respool login` keeps, for each hub."""
    path = os.path.join(site.node.environ["XDG_CONFIG_HOME"], "respool", "credentials.toml")
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write("".join(f'[hubs."{url}"]\napi_key = "{key}"\n' for url, key in keys.items()))


def made(site: Site, *words: str) -> str:
    """A key that an admin makes."""
    done = site.node.call("key", "create", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_key_that_is_replaced_is_noticed_without_a_restart(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    old, new = (made(site, "--user", "ada") for _ in range(2))
    credentials(site, **{site.hub_url: old})
    site.node.daemon.start()
    life = site.node.rows(steps=10**6, pace=0.002).reach(100)
    until(lambda: (site.view.find(PROJECT, RUN) or {}).get("rows"), "rows by the old key", why=site.words)
    credentials(site, **{site.hub_url: new})
    keys = site.view._client.get("/v1/keys").json()["keys"]
    first = next(key["key_id"] for key in keys if key["user"] == "ada")
    assert site.view._client.delete(f"/v1/keys/{first}").status_code == 200
    life.reach(life.last_step + 200)
    life.process.kill()
    site.drained()
    account(site.view, PROJECT, RUN, [life])
    assert (site.view.find(PROJECT, RUN) or {})["entity"] == "ada"


def test_a_daemon_serves_the_hub_that_each_run_names(site: Site) -> None:
    site.hub.start()
    socket, data = site.path("two.sock"), site.path("two")
    second = site.process(
        "hub-2",
        respool("hub", "--data", data, "--listen", f"unix:{socket}"),
        site.environ("hub2-home"),
        ready="respool hub ready at ",
    ).start()
    with open(os.path.join(data, "admin-key"), encoding="utf-8") as file:
        key = file.readline().strip()
    credentials(site, **{site.hub_url: site.key(), f"unix:{socket}": key})
    site.node.daemon.start()
    there = {"RESPOOL_HUB_URL": f"unix:{socket}"}
    lives = [site.node.rows(steps=30), site.node.rows(steps=60, environ=there)]
    assert [life.process.wait() for life in lives] == [0, 0], [life.process.words() for life in lives]
    view = HubView(f"unix:{socket}", key)
    for reader, life, rows in ((site.view, lives[0], 30), (view, lives[1], 60)):

        def arrived(reader: HubView = reader, rows: int = rows) -> dict[str, Any] | None:
            run = reader.find(PROJECT, RUN)
            return run if run and run["rows"] == rows and run["state"] == "finished" else None

        until(arrived, f"{rows} rows", 40, site.words)
        account(reader, PROJECT, RUN, [life])

    second.kill()
    assert site.node.rows(steps=10, environ=there).process.wait() == 0
    again = site.node.rows(steps=90)
    assert again.process.wait() == 0
    until(
        lambda: (site.view.find(PROJECT, RUN) or {}).get("rows") == 90, "the other hub's rows", 40, site.words
    )
    status = site.node.status()
    assert status is not None
    assert {one["hub"]: one["reachable"] for one in status["hubs"]}[site.hub_url] is True
    view.close()


def test_a_trainer_with_a_key_of_its_own_reads_what_its_user_may_read_and_hears_why_not_the_rest(
    site: Site,
) -> None:
    site.hub.start()
    site.give_keys()
    adas, bobs = ({"RESPOOL_API_KEY": made(site, "--user", user)} for user in ("ada", "bob"))
    site.node.daemon.start()
    first = site.node.train("states.py", steps=2, environ=adas)
    assert first.process.wait(60) == 0, first.process.words()
    site.drained()
    *_, step, digest = first.remark("saved 1").split()
    other = site.add_node("b")
    other.login(site.hub_url, site.key())
    other.daemon.start()
    again = other.train("reader.py", id="again", of=f"{PROJECT}/{RUN}", environ=adas)
    assert again.process.wait(60) == 0, again.process.words()
    assert again.remark("checkpoint").split()[1:] == [step, digest]
    assert again.remark("file").split()[1:] == [digest]
    stranger = other.train("reader.py", id="theirs", of=f"ada/{PROJECT}/{RUN}", environ=bobs)
    assert stranger.process.wait(60) == 0, stranger.process.words()
    assert "There is no run ada/" in stranger.remark("error"), stranger.remarks
    assert "There is no run ada/" in stranger.remark("missing")
