"""Media in rows: files of the run and references, and nothing for a row that has none."""

from __future__ import annotations

import io
import json
import os
import struct
import wave
import zlib

import pytest

import respool
from fakes.daemon import frames_in
from respool import row_media
from respool.wire import codec
from respool.wire.frames import Kind

np = pytest.importorskip("numpy")


@pytest.fixture
def run():
    return respool.init(project="p", id="r", mode="spool")


def kept(run, kind=Kind.ROW):
    return [
        (frame.step, codec.unpack(frame.payload))
        for frame in frames_in(run._keeper.attached.directory)
        if frame.kind == kind
    ]


def content(run, name):
    found = next(record for _, record in kept(run, Kind.FILE) if record["name"] == name)
    with open(os.path.join(run._keeper.attached.directory, "blobs", found["blob"]), "rb") as file:
        return file.read()


def pixels(data):
    """Width, height, samples a pixel and bytes of a PNG without interlacing or filters."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + body)
        chunks[kind] = chunks.get(kind, b"") + body
        at += size + 12
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    samples = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    raw, line = zlib.decompress(chunks[b"IDAT"]), width * samples + 1
    assert depth == 8
    assert all(raw[at] == 0 for at in range(0, len(raw), line))
    return width, height, samples, b"".join(raw[at + 1 : at + line] for at in range(0, len(raw), line))


def logged(run, value):
    run.log({"loss": 1.0, "val/x": value})
    step, row = kept(run)[-1]
    assert row["loss"] == 1.0
    return step, row["val/x"]


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_an_array_becomes_a_png_with_its_pixels(run, samples):
    array = np.arange(4 * 5 * samples, dtype=np.uint8).reshape(4, 5, samples)
    _, found = logged(run, respool.Image(array, caption="a caption"))
    assert (found["_type"], found["width"], found["height"]) == ("image-file", 5, 4)
    assert found["caption"] == "a caption"
    assert found["path"].startswith("media/images/val/x_0_")
    assert pixels(content(run, found["path"])) == (5, 4, samples, array.tobytes())


def test_what_is_not_kept_of_a_picture_is_said(run, capsys):
    _, found = logged(run, respool.Image(np.zeros((2, 2)), masks={"m": {}}, boxes={"b": {}}))
    assert found["_type"] == "image-file"
    assert "Image(boxes=, masks=)" in capsys.readouterr().err
    logged(run, respool.Image(np.zeros((2, 2)), caption="x"))
    assert "Image(" not in capsys.readouterr().err


def test_floats_of_one_are_white_and_negative_ones_are_stretched(run):
    _, found = logged(run, respool.Image(np.array([[0.0, 1.0, 0.5, np.nan]])))
    assert pixels(content(run, found["path"]))[3] == bytes([0, 255, 128, 0])
    _, found = logged(run, respool.Image(np.array([[-1.0, 1.0]])))
    assert pixels(content(run, found["path"]))[3] == bytes([0, 255])


def test_the_image_is_the_one_that_was_given_though_its_array_is_used_again(run):
    array = np.zeros((1, 1), np.uint8)
    image = respool.Image(array)
    array[:] = 9
    _, found = logged(run, image)
    assert pixels(content(run, found["path"]))[3] == b"\0"


def test_a_tensor_is_channels_first(run):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]], requires_grad=True)
    _, found = logged(run, respool.Image(tensor))
    assert pixels(content(run, found["path"])) == (2, 1, 3, bytes([255, 0, 0, 0, 255, 0]))


def test_a_path_is_kept_as_it_is(run, tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"\xff\xd8\xff and so on")
    _, found = logged(run, respool.Image(path))
    assert found["path"].endswith(".jpg")
    assert content(run, found["path"]) == b"\xff\xd8\xff and so on"
    assert found["sha256"] == __import__("hashlib").sha256(b"\xff\xd8\xff and so on").hexdigest()


def test_the_file_has_the_step_of_its_row_so_that_a_cut_hides_both(run):
    run.log({"x": respool.Html("<b>1</b>")}, step=7)
    assert kept(run)[-1][0] == 7
    assert [step for step, _ in kept(run, Kind.FILE)] == [7]


def test_media_lie_in_lists_and_nested_dicts_too(run):
    page = respool.Html("<p>")
    _, found = logged(run, {"a": [page, page], "b": {"c": page}})
    assert [one["_type"] for one in (*found["a"], found["b"]["c"])] == ["html-file"] * 3
    assert content(run, found["b"]["c"]["path"]) == b"<p>"


def test_a_table_is_json_with_the_files_of_its_cells(run):
    table = respool.Table(columns=["name", "score", "page"])
    table.add_data("a", float("nan"), respool.Html("A"))
    table.add_data("b", np.float32(0.5), None)
    _, found = logged(run, table)
    assert (found["_type"], found["ncols"], found["nrows"]) == ("table-file", 3, 2)
    body = json.loads(content(run, found["path"]))
    assert body["columns"] == ["name", "score", "page"]
    assert body["data"][0][:2] == ["a", "NaN"]
    assert content(run, body["data"][0][2]["path"]) == b"A"
    assert body["data"][1] == ["b", 0.5, None]


def test_a_table_gives_back_columns_and_takes_new_ones(capsys):
    table = respool.Table(data=[[1, 2, 3]])
    assert table.columns == ["Input", "Output", "Expected"]
    table.add_column("more", [4])
    assert table.get_column("more") == [4]
    assert list(table.get_column("more", convert_to="numpy")) == [4]
    assert list(table.iterrows()) == [(0, [1, 2, 3, 4])]
    table.add_data(1)
    table.add_column("bad", [1, 2])
    assert (len(table), table.columns[-1]) == (1, "more")
    assert capsys.readouterr().err.count("dropped") == 2


def test_a_data_frame_is_a_table(run):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    _, found = logged(run, frame)
    assert json.loads(content(run, found["path"])) == {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}
    assert respool.Table(dataframe=frame).get_dataframe().equals(frame)


@pytest.mark.parametrize("values", [[0.0, 1.0, 1.0, float("nan")], np.array([0.0, 1.0, 1.0, np.inf])])
def test_a_histogram_counts_finite_values_and_stays_in_the_row(run, values):
    _, found = logged(run, respool.Histogram(values, num_bins=2))
    assert found == {"_type": "histogram", "values": [1.0, 2.0], "bins": [0.0, 0.5, 1.0]}
    assert kept(run, Kind.FILE) == []


def test_a_histogram_takes_what_numpy_counted(run, capsys):
    _, found = logged(run, respool.Histogram(np_histogram=np.histogram([1, 2], bins=2)))
    assert found["values"] == [1.0, 1.0]
    assert respool.Histogram(np_histogram=([1], [1])).histogram == []
    assert "1 counts and 1 edges" in capsys.readouterr().err


def test_points_become_a_cloud(run):
    _, found = logged(run, respool.Object3D(np.arange(6).reshape(2, 3), caption="two"))
    assert (found["_type"], found["points"], found["caption"]) == ("object3D-file", 2, "two")
    assert found["path"].endswith(".pts.json")
    assert json.loads(content(run, found["path"])) == [[0, 1, 2], [3, 4, 5]]


def test_samples_become_a_wav(run):
    _, found = logged(run, respool.Audio(np.array([0.0, 1.0, -1.0, 2.0]), sample_rate=8000))
    with wave.open(io.BytesIO(content(run, found["path"]))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 1, 4)
        assert struct.unpack("<4h", file.readframes(4)) == (0, 32767, -32767, 32767)
    _, stereo = logged(run, respool.Audio([[0, 1], [2, 3]], sample_rate=2))
    assert stereo["duration"] == 1.0


class Drawing:
    """Looks like a Matplotlib figure."""

    def savefig(self, file, format):  # noqa: A002
        file.write(b"\x89PNG\r\n\x1a\n" + format.encode())


Drawing.__module__, Drawing.__name__ = "matplotlib.figure", "Figure"


class Plot:
    def to_html(self, include_plotlyjs):
        return f"<html>{include_plotlyjs}"


Plot.__module__, Plot.__name__ = "plotly.graph_objs._figure", "Figure"


def test_figures_may_be_logged_as_they_are(run):
    _, found = logged(run, Drawing())
    assert content(run, found["path"]).endswith(b"png")
    _, found = logged(run, Plot())
    assert (found["_type"], content(run, found["path"])) == ("html-file", b"<html>cdn")


@pytest.mark.parametrize(
    "make",
    [
        lambda: respool.Image("nowhere.png"),
        lambda: respool.Image(np.zeros((2, 2, 9))),
        lambda: respool.Image(b"no image"),
        lambda: respool.Video(np.zeros(3)),
        lambda: respool.Audio([1.0]),
        lambda: respool.Html(5),
        lambda: respool.Object3D({}),
        lambda: respool.Object3D([[1.0, 2.0]]),
    ],
)
def test_what_cannot_be_encoded_is_a_warning_and_the_row_is_kept(run, make, capsys):
    _, found = logged(run, make())
    assert found["error"]
    assert "path" not in found
    assert "cannot be kept" in capsys.readouterr().err


def test_a_path_that_vanished_before_log_is_a_warning(run, tmp_path, capsys):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"video")
    video = respool.Video(path, caption="c")
    path.unlink()
    _, found = logged(run, video)
    assert (found["_type"], found["caption"]) == ("video-file", "c")
    assert "No such file" in found["error"]
    assert "cannot be kept" in capsys.readouterr().err


def test_a_name_that_leads_out_of_the_run_is_spelled_inside_it(run):
    run.log({"../../etc/a b": respool.Html("x")})
    ((_, record),) = kept(run, Kind.FILE)
    assert record["name"].startswith("media/html/etc/a_b_0_")


def test_the_summary_takes_media(run):
    run.summary["best"] = respool.Table(columns=["a"], data=[[1]])
    ((_, record),) = kept(run, Kind.SUMMARY)
    assert record["set"]["best"]["_type"] == run.summary["best"]["_type"] == "table-file"


def test_a_plain_row_is_never_searched_for_media(run, monkeypatch):
    def forbidden(*_):
        raise AssertionError("a plain row was searched")

    monkeypatch.setattr(row_media, "holds", forbidden)
    run.log({"loss": 1.0, "text": "x", "list": [1, 2], "nested": {"a": 1}})
    assert len(kept(run)) == 1


def test_media_in_a_disabled_run_are_nothing():
    run = respool.init(project="p", mode="disabled")
    run.log({"x": respool.Html("x")})
    run.summary["y"] = respool.Html("y")
