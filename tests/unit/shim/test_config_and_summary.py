"""The two maps of a run: what is written into them, nested, locked or too much, is what a resume finds."""

from __future__ import annotations

import copy
import json
import os
import pickle
import sys

import pytest

import respool
from fakes.daemon import frames_in
from respool.config_map import mapping_of
from respool.config_room import MAX_CONFIG
from respool.wire import codec
from respool.wire.frames import Kind
from respool.wire.limits import HIDES_NOTHING

STRICT = {"strict": True}


def begin(**options):
    return respool.init(project="p", mode="spool", **{"id": "r", **options})


def again(run, **options):
    """The next life of the run: its config and summary come from the records alone."""
    run.finish(1)
    return begin(resume="must", **options)


def records(run, kind):
    frames = frames_in(run._keeper.attached.directory)
    return [codec.unpack(frame.payload) for frame in frames if frame.kind == kind]


def test_a_write_inside_of_the_summary_is_recorded_at_any_depth():
    run = begin()
    run.log({"best": {"loss": 1.0, "at": {"epoch": 3}}})
    run.summary["best"]["loss"] = 0.5
    run.summary["best"]["at"]["batch"] = 7
    run.summary.best.at.epoch = 4
    run.summary["best"].update({"top": 1}, five=5)
    del run.summary["best"]["top"]
    expected = {"loss": 0.5, "at": {"epoch": 4, "batch": 7}, "five": 5}
    assert run.summary["best"] == expected
    assert dict(again(run).summary) == {"best": expected}


def test_what_a_script_logged_does_not_change_with_the_summary():
    run, row = begin(), {"a": {"b": {"c": 1}}}
    run.log(row)
    run.summary["a"]["b"]["c"] = 2
    run.summary["a"].pop("b")
    assert row == {"a": {"b": {"c": 1}}}
    assert run.summary["a"] == {}


def test_every_way_to_change_a_dict_changes_the_summary():
    run = begin()
    run.summary["a"] = dict.fromkeys("uvwxyz", 0)
    part = run.summary["a"]
    part |= {"u": 1}
    assert part.pop("v") == 0
    assert part.pop("none", 5) == 5
    part.popitem()
    assert part.setdefault("new", 9) == 9
    part.w = 8
    del part.x
    assert dict(part) == run.summary["a"] == {"u": 1, "w": 8, "y": 0, "new": 9}
    part.clear()
    assert run.summary["a"] == {} == again(run).summary["a"]


def test_a_part_that_was_taken_before_a_row_changes_only_its_own_key():
    run = begin()
    run.summary["a"] = {"x": 1, "y": 1}
    part = run.summary["a"]
    run.log({"a": {"x": 2, "y": 2}})
    part["x"] = 3
    assert run.summary["a"] == {"x": 3, "y": 2}
    run.log({"a": 7})
    part["x"] = 4
    assert run.summary["a"] == {"x": 4}


def test_a_part_of_the_summary_is_a_dict_to_everybody_else():
    run = begin()
    run.summary["a"] = {"b": {"c": [1]}}
    part = run.summary["a"]
    assert isinstance(part, dict)
    assert json.dumps(dict(run.summary)) == '{"a": {"b": {"c": [1]}}}'
    for made in (pickle.loads(pickle.dumps(part)), copy.deepcopy(part)):
        assert (type(made), made) == (dict, {"b": {"c": [1]}})
    run.summary["copy"] = part
    part["b"]["c"] = 2
    assert run.summary["copy"] == {"b": {"c": [1]}}
    with pytest.raises(AttributeError, match="no 'nothing'"):
        part.nothing  # noqa: B018


def test_a_summary_of_no_keys_is_a_line(capsys):
    run = begin()
    run.summary.update(5)
    assert "summary.update() was given 5" in capsys.readouterr().err
    assert dict(run.summary) == {}


def test_what_a_later_life_says_without_a_row_is_the_runs_once_it_ended_well(tmp_path):
    run = begin()
    for loss in range(3):
        run.log({"loss": loss})
    kept = tmp_path / "predictions.csv"
    kept.write_text("1")
    later = again(run)
    later.summary["test_acc"] = 0.9
    later.config.update({"evaluated": True})
    later.save(str(kept), base_path=str(tmp_path))
    later.finish()
    third = begin(resume="must")
    assert (third.step, third.summary.as_dict()) == (3, {"loss": 2, "test_acc": 0.9})
    assert third.config.as_dict() == {"evaluated": True}
    with third.restore("predictions.csv", root=str(tmp_path / "again")) as found:
        assert found.read() == b"1"
    assert [record["step"] for record in records(later, Kind.CUT)] == [HIDES_NOTHING]


@pytest.mark.parametrize("leave", ["failed", "started over", "rewound", "logged"])
def test_who_failed_or_started_over_or_said_where_it_continues_claims_no_more_than_that(leave):
    run = begin()
    for loss in range(3):
        run.log({"loss": loss})
    run.finish()
    later = begin(resume=None if leave == "started over" else "must")
    if leave == "rewound":
        later.rewind(1)
    if leave == "logged":
        later.log({"loss": 9})
    later.summary["test_acc"] = 0.9
    later.finish(int(leave == "failed"))
    assert [record["step"] for record in records(later, Kind.CUT)] == [1] * (leave == "rewound")


def test_a_copy_of_config_or_summary_is_no_part_of_the_run_and_a_pickle_is_a_plain_dict():
    run = begin(config={"lr": 0.1, "net": {"depth": 2}})
    run.log({"loss": 1.0, "best": {"at": 3}})
    before = records(run, Kind.CONFIG), records(run, Kind.SUMMARY)
    for copied in (copy.copy(run.config), copy.deepcopy(run.config)):
        copied.lr, copied.extra = 0.5, 1
        assert (copied.lr, copied.net, copied["extra"]) == (0.5, {"depth": 2}, 1)
    copied.net["depth"] = 9
    copy.deepcopy(run.summary)["best"]["at"] = 4
    for mine in (run.config, run.summary):
        made = pickle.loads(pickle.dumps(mine))
        assert (type(made), made) == (dict, dict(mine))
        made["lr"] = 7
    assert run.config.as_dict() == {"lr": 0.1, "net": {"depth": 2}}
    assert run.summary.as_dict() == {"loss": 1.0, "best": {"at": 3}}
    assert (records(run, Kind.CONFIG), records(run, Kind.SUMMARY)) == before


def test_a_write_inside_of_the_config_is_recorded_with_persist_or_when_it_is_set_again():
    run = begin(config={"model": {"depth": 2}, "lr": 0.1})
    run.config["model"]["depth"] = 3
    assert [one["set"] for one in records(run, Kind.CONFIG)] == [{"model": {"depth": 2}, "lr": 0.1}]
    run.config.persist()
    run = again(run)
    assert dict(run.config) == {"model": {"depth": 3}, "lr": 0.1}
    run.config["model"]["depth"] = 4
    run.config.update({"model": run.config["model"]})
    assert again(run).config["model"] == {"depth": 4}


def test_locked_keys_keep_their_values(capsys):
    run = begin(config={"lr": 0.1, "model": {"depth": 2, "width": 8}})
    run.config.update_locked({"lr": 0.2}, "me", _allow_val_change=True)
    run.config.merge_locked({"model": {"depth": 3}}, user="me", _allow_val_change=True)
    run.config.lr = 0.3
    run.config.update({"model": {"depth": 9}}, allow_val_change=True)
    said = capsys.readouterr().err
    assert "config 'lr' belongs to me; 0.3 is ignored." in said
    assert "config 'model' belongs to me" in said
    expected = {"lr": 0.2, "model": {"depth": 3, "width": 8}}
    assert dict(run.config) == expected
    run.config.update_locked({"lr": 0.4}, _allow_val_change=True)
    assert dict(again(run).config) == {**expected, "lr": 0.4}


def test_a_value_too_large_for_a_config_is_named_and_the_others_are_kept(capsys):
    data = "x" * (MAX_CONFIG - 50)
    run = begin(config={"lr": 0.1, "data": data, "names": ["a"] * 100})
    said = capsys.readouterr().err
    assert f"config 'data' takes {len(data) + 11} bytes, and a whole config may take {MAX_CONFIG}; " in said
    assert "only its size is recorded." in said
    assert run.config["data"] == data
    expected = {"lr": 0.1, "data": f"<{len(data) + 11} bytes, too much for a config>", "names": ["a"] * 100}
    assert dict(again(run).config) == expected


def test_a_config_that_grows_too_large_keeps_what_it_had(capsys):
    run = begin(config={"first": "x" * (3 << 20)})
    run.config.update({"second": "y" * (2 << 20), "third": 3})
    run.config["second"] = "small"
    run.config.fourth = "z" * (2 << 20)
    del run.config["first"]
    run.config.fifth = "z" * (3 << 20)
    assert capsys.readouterr().err.count("a whole config may take") == 2
    found = again(run).config.as_dict()
    assert {key: len(str(value)) for key, value in found.items()} == {
        "second": 5,
        "third": 1,
        "fourth": len("<2097161 bytes, too much for a config>"),
        "fifth": 3 << 20,
    }


def test_every_segment_begins_with_a_config_that_is_as_it_was_recorded(monkeypatch):
    monkeypatch.setattr("respool.local_spool.SEGMENT_SIZE", 256 << 10)
    run = begin(config={"data": b"x" * MAX_CONFIG, "lr": 1})
    for _ in range(4):
        run.log({"x": "x" * 100_000})
    found = [one["config"] for one in records(run, Kind.SNAPSHOT)]
    assert len(found) > 1
    assert found[-1] == {"data": f"<{MAX_CONFIG + 11} bytes, too much for a config>", "lr": 1}


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"data": "x" * MAX_CONFIG}, r"config 'data' takes \d+ bytes.* save\(\) such data"),
        ({"model": object()}, "a value of type object cannot be kept as it is. Log numbers"),
        ({"path": "bad\ud800"}, "half of a character"),
        ({"bad\ud800": 1}, "half of a character"),
    ],
)
def test_strict_refuses_a_config_that_cannot_be_kept_before_anything_is_begun(spool, config, text):
    with pytest.raises(respool.UsageError, match=text):
        begin(config=config, settings=STRICT)
    assert respool.run is None
    run = begin(settings=STRICT, config={"lr": 1})
    with pytest.raises(respool.UsageError, match=text):
        run.config.update(config)
    assert dict(run.config) == {"lr": 1}
    run.log({"loss": 1})
    assert dict(again(run).config) == {"lr": 1}


def test_half_a_character_in_values_and_names_is_spelled_out_with_one_line(capsys):
    run = begin(config={"path\udcff": ["data\udcff"]})
    run.log({"loss\udcff": 1, "text": "a\udcff"})
    run.summary["s"] = "\udcff"
    assert capsys.readouterr().err.count("half of a character") == 1
    assert [one["set"] for one in records(run, Kind.CONFIG)] == [{"path\\udcff": ["data\\udcff"]}]
    assert records(run, Kind.ROW) == [{"loss\\udcff": 1, "text": "a\\udcff"}]
    assert again(run).summary["s"] == "\\udcff"


def test_strict_refuses_half_a_character_in_a_row_and_goes_on():
    run = begin(settings=STRICT)
    with pytest.raises(respool.UsageError, match="half of a character"):
        run.log({"loss\ud800": 1})
    run.log({"loss": 1})
    assert records(run, Kind.ROW) == [{"loss": 1}]


def test_a_config_is_read_from_wandbs_yaml_from_plain_yaml_and_from_json(tmp_path):
    (tmp_path / "wandb.yaml").write_text(
        "wandb_version: 1\n_wandb: {value: {cli_version: x}}\nlr: {desc: the rate, value: 0.1}\nlayers: {value: [1]}\n"
    )
    (tmp_path / "plain.yaml").write_text("lr: 0.1\nlayers: [1]\n")
    (tmp_path / "c.json").write_text('{"lr": 0.1, "layers": [1]}')
    (tmp_path / "nested.yaml").write_text("model: {value: 1}\nlr: 0.1\n")
    (tmp_path / "empty.yaml").write_text("")
    for path in ("wandb.yaml", "plain.yaml", "c.json"):
        assert mapping_of(str(tmp_path / path)) == {"lr": 0.1, "layers": [1]}
    assert mapping_of(tmp_path / "nested.yaml") == {"model": {"value": 1}, "lr": 0.1}
    assert mapping_of(tmp_path / "empty.yaml") == {}
    run = begin(config=tmp_path / "plain.yaml")
    run.config.update(str(tmp_path / "c.json"))
    assert dict(again(run).config) == {"lr": 0.1, "layers": [1]}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.yaml", None, "cannot be read: No such file or directory. Pass a dict"),
        ("latin.yaml", b"a: \xff", "cannot be read: it is no UTF-8. "),
        ("bad.yaml", b"a: [1", "is no YAML: while parsing"),
        ("bad.json", b"{", "is no JSON: Expecting"),
        ("list.yaml", b"- 1", "holds list, no keys. Write"),
    ],
)
def test_a_config_file_that_cannot_be_used_is_an_error_that_names_it(tmp_path, name, text, why):
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with pytest.raises(respool.UsageError) as found:
        begin(config=str(tmp_path / name))
    assert name in str(found.value)
    assert why in str(found.value)
    assert respool.run is None


def test_without_pyyaml_a_config_file_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "c.yaml").write_text("a: 1")
    with pytest.raises(respool.UsageError, match=r"pip install pyyaml\), or pass a dict"):
        begin(config=tmp_path / "c.yaml")


def test_absls_flags_are_a_config():
    class Flags:
        def flag_values_dict(self):
            return {"lr": 0.1}

    assert mapping_of(Flags()) == {"lr": 0.1}


def test_a_summary_too_large_for_every_segment_leaves_rows_their_room(capsys):
    run = begin(config={"lr": 1})
    run.summary["text"] = "x" * (7 << 20)
    run.log({"more": "y" * (3 << 20), "loss": 1.0})
    for number in range(30):
        run.log({"n": number, "pad": "z" * 300_000})
    segments = [one for one in os.listdir(run._keeper.attached.directory) if one.endswith(".seg")]
    assert len(segments) < 7
    assert len(run.summary["text"]) == 7 << 20
    assert "summary 'text' takes 7340043 bytes; a resume may know only its size" in capsys.readouterr().err
    found = again(run)
    assert found.summary["text"] == "<7340043 bytes, too much for a summary>"
    assert (found.summary["n"], len(found.summary["more"]), found.config["lr"]) == (29, 3 << 20, 1)


def test_a_change_too_large_for_a_record_is_said_or_raised(capsys):
    run = begin()
    run.summary["text"] = "x" * (17 << 20)
    run.log({"a": 1})
    assert "are more than a record holds" in capsys.readouterr().err
    run.finish()
    run = begin(id="s", settings=STRICT)
    with pytest.raises(respool.RecordLostError, match=r"too large for a record\. Use save"):
        run.summary["text"] = "x" * (17 << 20)
    run.log({"a": 1})
