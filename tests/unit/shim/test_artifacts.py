"""Artifacts in a run without a daemon: versions, aliases, and nothing half logged."""

from __future__ import annotations

import json
import os

import pytest

import respool
from respool.artifacts import manifest


@pytest.fixture
def run():
    return begin()


def begin(**options):
    return respool.init(project="p", id="r", mode="spool", resume="allow", **options)


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_versions_count_up_and_aliases_move(run, tmp_path):
    path = written(tmp_path / "m.bin", "one")
    first = run.log_artifact(path, name="model", type="model", aliases=["best", "early"])
    assert (first.name, first.version, first.aliases) == ("model:v0", "v0", ["best", "early"])
    written(tmp_path / "m.bin", "two")
    second = run.log_artifact(path, name="model", type="model", aliases="best")
    assert (second.version, second.state, second.size) == ("v1", "COMMITTED", 3)
    for asked, version in [("model", "v1"), ("model:best", "v1"), ("model:early", "v0"), ("model:v0", "v0")]:
        assert run.use_artifact(asked).version == version
    with open(run.use_model("model:early")) as file:
        assert file.read() == "one"


def test_the_same_files_again_are_the_same_version_with_more_aliases(run, tmp_path):
    path = written(tmp_path / "m.bin", "one")
    run.log_artifact(path, name="model", aliases=["a"])
    again = run.log_artifact(path, name="model", aliases=["b"])
    assert (again.version, again.aliases) == ("v0", ["a", "b"])
    assert run.use_artifact("model:b").version == "v0"


def test_a_folder_a_written_file_media_and_a_reference_are_one_artifact(run, tmp_path):
    written(tmp_path / "data" / "sub" / "x.txt", "x")
    artifact = respool.Artifact("data set", "dataset", metadata={"rows": 1})
    artifact.add_dir(tmp_path / "data", name="in")
    with artifact.new_file("notes.txt", mode="w") as file:
        file.write("hello")
    table = respool.Table(columns=["a", "page"], data=[[1, respool.Html("<p>")]])
    artifact.add(table, "tables/t")
    artifact.add_reference("s3://bucket/big.bin")
    staged = artifact._staging.name
    run.log_artifact(artifact).wait()
    assert not os.path.exists(staged)
    found = run.use_artifact("data-set")
    assert found.metadata == {"rows": 1}
    folder = found.download()
    assert folder == "artifacts/data-set:v0"
    with open(os.path.join(folder, "tables", "t.table.json")) as file:
        cell = json.load(file)["data"][0][1]
    with open(os.path.join(folder, cell["path"])) as file:
        assert file.read() == "<p>"
    assert sorted(found.manifest.entries) == sorted(
        ["big.bin", "in/sub/x.txt", "notes.txt", "tables/t.table.json", cell["path"]]
    )
    assert found.get_entry("big.bin").ref == "s3://bucket/big.bin"
    assert not os.path.exists(os.path.join(folder, "big.bin"))
    found.verify()
    with open(found.get_path("notes.txt").download(), "a") as file:
        file.write("!")
    with pytest.raises(ValueError, match="is not what was logged"):
        found.verify()
    found.download()
    found.verify()


def test_what_the_script_does_to_the_files_afterwards_does_not_matter(run, tmp_path):
    path = written(tmp_path / "m.bin", "one")
    logged = run.log_artifact(path, name="model")
    os.unlink(path)
    with open(logged.file()) as file:
        assert file.read() == "one"


def test_versions_go_on_after_a_resume_and_are_not_hidden_by_a_rewind(run, tmp_path):
    run.log({"x": 1}, step=10)
    run.log_artifact(written(tmp_path / "m", "one"), name="m", aliases=["best"])
    run.finish()
    again = begin()
    again.rewind(3)
    again.log({"x": 2})
    assert again.use_artifact("m:best").version == "v0"
    assert again.log_artifact(written(tmp_path / "m", "two"), name="m").version == "v1"
    with open(again.use_artifact("p/r/m:v0").file()) as file:
        assert file.read() == "one"


def test_a_run_that_is_started_over_counts_anew(run, tmp_path):
    path = written(tmp_path / "m", "one")
    run.log_artifact(path, name="m")
    run.finish()
    over = respool.init(project="p", id="r", mode="spool")
    assert over.log_artifact(path, name="m").version == "v0"
    assert over.use_artifact("m").file()


def test_an_artifact_whose_file_vanished_is_not_logged_at_all(run, tmp_path, capsys):
    artifact = respool.Artifact("m", "model")
    artifact.add_file(written(tmp_path / "a", "a"))
    artifact.add_file(written(tmp_path / "b", "b"))
    os.unlink(tmp_path / "b")
    assert run.log_artifact(artifact).state == "PENDING"
    assert "was not logged" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        run.restore("artifacts/m/v0/manifest.json")
    assert "artifacts" not in run._meta


def test_a_wrong_path_is_a_warning_and_something_that_bears_being_used(run, capsys):
    assert not run.log_artifact("nowhere").wait().aliases
    assert "no file 'nowhere'" in capsys.readouterr().err


def test_a_draft_raises_for_what_is_not_there_and_a_version_for_changes(run, tmp_path):
    artifact = respool.Artifact("m", "model")
    with pytest.raises(ValueError, match="no folder"):
        artifact.add_dir(tmp_path / "none")
    with pytest.raises(ValueError, match="was not logged yet"):
        artifact.version  # noqa: B018
    with pytest.raises(ValueError, match="no name of a file"):
        artifact.add_file(written(tmp_path / "a", "a"), name="../a")
    artifact.add_file(tmp_path / "a")
    artifact.remove("a")
    artifact.add_file(tmp_path / "a")
    run.log_artifact(artifact)
    with pytest.raises(ValueError, match="cannot change"):
        artifact.add_file(tmp_path / "a")


def test_an_alias_that_means_nothing_lists_those_that_do(run, tmp_path):
    run.log_artifact(written(tmp_path / "m", "1"), name="m", aliases=["best"])
    with pytest.raises(FileNotFoundError, match="It has latest, best, v0"):
        run.use_artifact("m:worst")


def test_an_unknown_artifact_without_a_hub_says_that_other_runs_cannot_be_asked(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(respool.CommError, match="other runs cannot be asked"):
        run.use_artifact("nothing:latest")


def test_models_are_artifacts_and_a_link_is_an_alias(run, tmp_path, capsys):
    model = run.log_model(written(tmp_path / "m.bin", "1"), name="net")
    assert model.type == "model"
    run.link_artifact(model, "registry/production")
    assert run.use_artifact("net:production").version == "v0"
    assert "no registry" in capsys.readouterr().err
    assert run.use_model("net").endswith("net:v0/m.bin")


def test_a_disabled_run_takes_artifacts_and_keeps_nothing(tmp_path):
    run = respool.init(project="p", mode="disabled")
    assert run.log_artifact(written(tmp_path / "m", "1"), name="m").state == "PENDING"


def test_a_manifest_survives_its_file_and_refuses_another():
    made = manifest.Manifest("m", "model", 3, ["best"], [manifest.Entry("a", 1, "x")], None, {"k": 1}, 5.0)
    assert manifest.load(made.dump()) == made
    for bad in (b"[]", b"{}", b'{"entries": [1]}', b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011
            manifest.load(bad)


def test_the_digest_does_not_depend_on_the_order():
    one, two = manifest.Entry("a", 1, "x"), manifest.Entry("b", 1, "y")
    assert manifest.digest_of([one, two]) == manifest.digest_of([two, one])
    assert manifest.digest_of([one]) != manifest.digest_of([two])
