"""The Api, against a real hub on a Unix socket."""

from __future__ import annotations

import json
import os
from itertools import pairwise

import pytest
from blake3 import blake3

import respool
from respool.apis import rows
from respool.apis.address import find
from respool.wire.frames import Kind
from respool.wire.limits import MAX_LABEL, MAX_NOTES, MAX_TAG, MAX_TAGS
from respoold.core import hubapi
from unit.hub.kit import Desk, name, record, row, served

A, B = name(1), name(2)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with two runs of anna's: `good` finished, `bad` failed."""
    desk = Desk(tmp_path / "data")
    path = tmp_path / "hub.sock"
    with served(desk.hub, path) as client:
        key = (tmp_path / "data" / "admin-key").read_text().strip()
        made = client.post(
            "/v1/keys",
            json={"user": "anna", "scope": "write", "name": "t"},
            headers={"authorization": f"Bearer {key}"},
        )
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("RESPOOL_HUB_URL", f"unix:{path}")
        monkeypatch.setenv("RESPOOL_API_KEY", made.json()["key"])
        fill(desk, A, "good", 0.1, 0)
        desk.clock.advance(60)
        fill(desk, B, "bad", 0.2, 1)
        yield desk
    desk.close()


def fill(desk, attempt, run_id, lr, exit_code):
    desk.attach(attempt, run_id, meta={"tags": ["t"], "group": run_id[0], "name": f"the {run_id} one"})
    frames = [record(Kind.CONFIG, 0, {"set": {"lr": lr, "opt": {"kind": "sgd"}, "_wandb": {}}})]
    frames += [
        row(1 + step, step, loss=10.0 - step, **({"acc": step} if step % 2 else {})) for step in range(10)
    ]
    frames.append(record(Kind.STATE, 11, {"state": "ended", "exit_code": exit_code}))
    desk.append(attempt, 0, b"".join(frames))


def test_a_run_tells_what_it_is(hub):
    run = respool.Api().run("anna/p/good")
    assert (run.id, run.entity, run.project, run.path) == ("good", "anna", "p", ["anna", "p", "good"])
    assert (run.name, run.state, run.tags, run.notes) == ("the good one", "finished", ["t"], "")
    assert run.config == {"lr": 0.1, "opt": {"kind": "sgd"}}
    assert run.summary["loss"] == 1.0
    assert run.summary._json_dict == {"loss": 1.0, "acc": 9}
    assert (run.lastHistoryStep, run.group, run.created_at[:10]) == (9, "g", "1970-01-12")
    assert respool.Api({"project": "p"}).run("good").id == "good"
    assert respool.Api().run("/anna/p/runs/good").id == "good"


def test_history_is_every_row_or_some_of_them(hub):
    run = respool.Api().run("p/good")
    every = run.history(pandas=False)
    assert [one["_step"] for one in every] == list(range(10))
    assert [one["_step"] for one in run.history(samples=4, pandas=False)] == [0, 3, 6, 9]
    assert run.history(keys=["acc"], pandas=False) == [{"acc": step} for step in (1, 3, 5, 7, 9)]
    assert [one["_step"] for one in run.scan_history(min_step=3, max_step=5)] == [3, 4]
    first = next(run.scan_history())
    assert first["loss"] == 10.0


def test_the_load_of_a_run_is_a_stream_of_its_own(hub):
    gpus = [{"index": 0, "utilization": 50.0}, {"index": 3, "utilization": 99.0}]
    hub.append(A, 12, record(Kind.SYSTEM, 12, {"cpu": 80.0, "gpus": gpus}))
    run = respool.Api().run("p/good")
    (sample,) = run.history(stream="system", pandas=False)
    assert {key: value for key, value in sample.items() if key.startswith("system.")} == {
        "system.cpu": 80.0,
        "system.gpus.0.utilization": 50.0,
        "system.gpus.3.utilization": 99.0,
    }
    assert run.history(stream="events", keys=["system.cpu"], pandas=False) == [{"system.cpu": 80.0}]
    assert run.history(stream="system", keys=["loss"], pandas=False) == []


def test_history_is_a_data_frame_where_pandas_is(hub):
    pytest.importorskip("pandas")
    frame = respool.Api().run("p/good").history()
    assert list(frame["loss"])[:2] == [10.0, 9.0]


def test_without_pandas_history_is_a_list_with_one_warning(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert rows.framed([{"a": 1}]) == rows.framed([{"a": 1}]) == [{"a": 1}]
    assert capsys.readouterr().err.count("pandas is not installed") == 1


def test_few_of_many_rows_are_evenly_spread_and_hold_the_last():
    found = [one["i"] for one in rows.spread(({"i": i} for i in range(100_001)), 11)]
    assert (len(found), found[0], found[-1]) == (11, 0, 100_000)
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) < 1.3 * min(steps)
    assert rows.spread(iter(()), 5) == []


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["good", "bad"]),
        ({"state": "finished"}, ["good"]),
        ({"state": {"$ne": "finished"}}, ["bad"]),
        ({"config.lr": 0.2}, ["bad"]),
        ({"config.lr": {"$lt": 0.2, "$gt": 0.0}}, ["good"]),
        ({"config.lr.value": 0.1}, ["good"]),
        ({"config.opt.kind": "sgd"}, ["good", "bad"]),
        ({"config.nothing": {"$exists": True}}, []),
        ({"config.nothing": {"$gt": 1}}, []),
        ({"summary_metrics.loss": {"$lte": 1.0}}, ["good", "bad"]),
        ({"tags": {"$in": ["t", "u"]}}, ["good", "bad"]),
        ({"tags": "u"}, []),
        ({"$or": [{"state": "failed"}, {"display_name": {"$regex": "^the g"}}]}, ["good", "bad"]),
        ({"group": "b"}, ["bad"]),
        ({"config.lr": {"$gt": "a"}}, []),
    ],
)
def test_runs_are_chosen_by_filters(hub, filters, found):
    runs = respool.Api().runs("anna/p", filters=filters)
    assert (len(runs), [run.id for run in runs]) == (len(found), found)


def test_runs_are_ordered_as_asked_and_can_be_indexed(hub):
    api = respool.Api()
    assert [run.id for run in api.runs("p", order="-created_at")] == ["bad", "good"]
    assert [run.id for run in api.runs("p", order="-config.lr")] == ["bad", "good"]
    assert api.runs("p")[0].id == "good"
    assert [run.id for run in api.runs("p")[:1]] == ["good"]


@pytest.mark.parametrize("filters", [{"colour": 1}, {"config": 1}, {"state": {"$near": 1}}])
def test_a_filter_that_means_nothing_is_an_error_that_lists_what_does(hub, filters):
    with pytest.raises(respool.UsageError, match=r"Use config|Known are"):
        len(respool.Api().runs("p", filters=filters))


def test_name_notes_and_tags_are_sent_with_update(hub):
    run = respool.Api().run("p/good")
    run.name, run.notes = "better", "see step 3"
    run.tags.append("new")
    run.update()
    again = respool.Api().run("p/good")
    assert (again.name, again.notes, again.tags) == ("better", "see step 3", ["t", "new"])


@pytest.mark.parametrize("letter", ["x", "文", "\U0001f600", "\0"])
def test_notes_and_tags_as_long_as_they_may_be_are_sent_in_any_script(hub, letter):
    run = respool.Api().run("p/good")
    run.name, run.notes = letter * MAX_LABEL, letter * MAX_NOTES
    run.tags = [f"{number:03}" + letter * (MAX_TAG - 3) for number in range(MAX_TAGS)]
    run.update()
    again = respool.Api().run("p/good")
    assert (again.name, again.notes, again.tags) == (run.name, run.notes, run.tags)
    run.notes += letter
    with pytest.raises(respool.UsageError, match="notes cannot be"):
        run.update()


def test_a_run_is_deleted_with_everything_of_it(hub):
    respool.Api().run("p/good").delete()
    assert [run.id for run in respool.Api().runs("p")] == ["bad"]


def test_changes_that_are_not_sent_are_warned_of(hub, capsys):
    run = respool.Api().run("p/good")
    run.config["lr"] = 5
    run.update()
    run.summary.update({"loss": 0})
    assert capsys.readouterr().err.count("warning") == 2
    assert respool.Api().run("p/good").config["lr"] == 0.1


@pytest.fixture
def filed(hub):
    def keep(file, data):
        digest = blake3(data).hexdigest()
        upload = hub.hub.blobs.upload(len(data))
        upload.write(data)
        assert upload.commit(digest)
        commit = hubapi.FileCommit(file, digest, len(data), 0, 12, 3, 5.0)
        from respool_hub.service.files import commit as put
        from unit.hub.kit import ANNA

        hub.write(lambda tx: put(tx, ANNA, A, commit))

    keep("sub/a model.pt", b"weights" * 1000)
    return respool.Api().run("p/good")


def test_files_are_listed_and_downloaded_whole(filed, tmp_path):
    (file,) = filed.files()
    assert (file.name, file.size) == ("sub/a model.pt", 7000)
    with filed.file("sub/a model.pt").download(root=str(tmp_path / "out")) as got:
        assert got.read() == b"weights" * 1000
        assert got.name == str(tmp_path / "out" / "sub" / "a model.pt")
    with pytest.raises(respool.UsageError, match="exists"):
        file.download(root=str(tmp_path / "out"))
    file.download(root=str(tmp_path / "out"), replace=True).close()
    file.download(root=str(tmp_path / "out"), exist_ok=True).close()
    assert os.listdir(tmp_path / "out" / "sub") == ["a model.pt"]
    assert filed.files(pattern="%.pt")[0].name == "sub/a model.pt"
    assert filed.files(names=["x"]) == []
    with pytest.raises(FileNotFoundError, match="no file 'x'"):
        filed.file("x")


def test_what_the_hub_does_not_know_can_be_caught_as_scripts_catch_it(hub):
    for kind in (FileNotFoundError, respool.errors.CommError, ValueError):
        with pytest.raises(kind, match="There is no run anna/p/nope"):
            respool.Api().run("p/nope")
    with pytest.raises(respool.UsageError, match="names no run"):
        respool.Api().run("nope")
    with pytest.raises(respool.UsageError, match="at most 3"):
        respool.Api().run("a/b/c/d")


def test_a_key_that_may_not_is_a_comm_error_in_the_hubs_words(hub, monkeypatch):
    monkeypatch.setenv("RESPOOL_API_KEY", "rsp_" + "0" * 40)
    with pytest.raises(respool.CommError, match="unknown to this hub"):
        respool.Api().run("p/good")


def test_a_hub_that_is_away_is_a_comm_error_that_says_who_named_it(tmp_path, monkeypatch):
    monkeypatch.setenv("RESPOOL_HUB_URL", f"unix:{tmp_path}/none.sock")
    monkeypatch.setenv("RESPOOL_API_KEY", "rsp_x")
    with pytest.raises(respool.CommError, match=r"does not answer.*came from RESPOOL_HUB_URL"):
        respool.Api().run("p/x")


def test_what_else_the_api_has_is_a_no_op_with_one_warning(hub, capsys):
    api = respool.Api()
    assert not api.create_team("x")
    assert not api.create_team("y")
    assert capsys.readouterr().err.count("has no effect") == 1


@pytest.fixture
def config(tmp_path, monkeypatch):
    folder = tmp_path / "config" / "respool"
    folder.mkdir(parents=True)
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "RESPOOL_SOCKET": str(tmp_path / "no.sock")}, folder


def credentials(folder, text, mode=0o600):
    (folder / "credentials.toml").write_text(text)
    (folder / "credentials.toml").chmod(mode)


def test_hub_and_key_come_from_the_only_login(config):
    environ, folder = config
    credentials(folder, '[hubs."https://hub.example"]\napi_key = "rsp_1"\n')
    found = find(None, None, environ)
    assert (found.url, found.key, found.source) == ("https://hub.example", "rsp_1", "the only login")
    (folder / "respool.toml").write_text('hub = "https://other"\napi_key = "rsp_2"\n')
    assert find(None, None, environ)[:2] == ("https://other", "rsp_2")
    assert find("https://hub.example/", None, environ).key == "rsp_1"


def test_the_key_of_the_environment_is_shown_to_the_environments_hub_only(config):
    environ, _ = config
    environ |= {"RESPOOL_HUB_URL": "https://mine", "RESPOOL_API_KEY": "rsp_3"}
    assert find(None, None, environ).key == "rsp_3"
    with pytest.raises(respool.CommError, match="no key for the hub at https://theirs"):
        find("https://theirs", None, environ)


def test_an_open_credentials_file_and_a_key_in_plain_text_are_refused(config):
    environ, folder = config
    credentials(folder, '[hubs."http://far"]\napi_key = "rsp_1"\n', 0o644)
    with pytest.raises(respool.UsageError, match="chmod 600"):
        find(None, None, environ)
    credentials(folder, '[hubs."http://far"]\napi_key = "rsp_1"\n')
    with pytest.raises(respool.UsageError, match="plain text"):
        find(None, None, environ)
    credentials(folder, '[hubs."http://far"]\napi_key = "rsp_1"\ninsecure = true\n')
    assert find(None, None, environ).key == "rsp_1"


def test_no_hub_at_all_says_how_to_get_one(config):
    with pytest.raises(respool.CommError, match="respool up"):
        find(None, None, config[0])


def test_a_foreign_key_is_never_read(config, monkeypatch):
    environ, _ = config
    environ |= {"WANDB_API_KEY": "secret", "WANDB_BASE_URL": "https://api.wandb.ai"}
    with pytest.raises(respool.CommError, match="No hub is known"):
        find(None, None, environ)


def test_an_answer_that_is_no_hubs_is_told_in_words(hub):
    from respool.apis.hub import _parsed

    with pytest.raises(respool.CommError, match="is no respool hub"):
        _parsed(b"<html>", find(None, None, os.environ))
    assert _parsed(json.dumps({"a": 1}).encode(), find(None, None, os.environ)) == {"a": 1}
