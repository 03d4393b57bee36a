"""The spool on disk: what is atomic, what is cut, what is kept."""

import errno
import json
import os

import pytest

from respool.wire.attempt import ATTEMPT_FILE, PROGRESS_FILE, QUARANTINE, AttemptFile
from respool.wire.errors import FormatError, UnknownVersionError
from respool.wire.segment import NO_MARK
from respoold.io import blobs, disk, files, segments
from unit.io.spools import REQUEST, a_folder, a_spool, lay, quarantined

PAPERS = AttemptFile("a" * 32, REQUEST, 1000)


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_replaced_whole_and_leaves_no_part() -> None:
    with a_folder() as folder:
        path = os.path.join(folder, "x")
        for data in (b"", b"one", b"two" * 100_000):
            files.write_bytes(path, data)
            with open(path, "rb") as file:
                assert file.read() == data
        assert os.listdir(folder) == ["x"]
        assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_write_that_fails_at_any_step_leaves_the_old_file_and_no_part(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with a_folder() as folder:
        path = os.path.join(folder, "x")
        files.write_bytes(path, b"old")
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(OSError, match="No space left"):
                files.write_bytes(path, b"new")
        with open(path, "rb") as file:
            assert file.read() == b"old"
        assert os.listdir(folder) == ["x"]


@pytest.mark.parametrize("step", ["posix_fallocate", "pwrite", "fdatasync", "rename"])
def test_a_segment_that_cannot_be_made_leaves_nothing(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with a_folder() as folder:
        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(OSError, match="No space left"):
                segments.create(folder, "a", 0, 0, 1 << 16)
        assert os.listdir(folder) == []
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_torn_tail_is_put_aside_before_it_is_cut() -> None:
    spool = a_spool([[0, 0]], [0])
    end = spool.records[-1].end
    with a_folder() as folder:
        lay(folder, [spool.segments[0][:end] + b"torn\0tail" + bytes(500)])
        assert segments.cut_tail(folder, 0, 0, end) == 9
        assert quarantined(folder) == [b"torn\0tail"]
        assert os.path.getsize(os.path.join(folder, "w0-000000.seg")) == end
        assert segments.cut_tail(folder, 0, 0, end) == 0
        assert len(quarantined(folder)) == 1


def test_a_tail_that_cannot_be_put_aside_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_folder() as folder:
        lay(folder, [bytes(5000) + b"torn"])
        monkeypatch.setattr(segments, "write_bytes", fail)
        with pytest.raises(OSError, match="No space left"):
            segments.cut_tail(folder, 0, 0, 5000)
        assert os.path.getsize(os.path.join(folder, "w0-000000.seg")) == 5004


def test_a_tail_of_zeros_is_cut_without_a_word() -> None:
    with a_folder() as folder:
        lay(folder, [bytes(9000)])
        assert segments.cut_tail(folder, 0, 0, 5000) == 0
        assert not os.path.exists(os.path.join(folder, QUARANTINE))


def test_the_end_of_data_is_found_behind_holes_in_the_middle() -> None:
    with a_folder() as folder:
        fd = os.open(os.path.join(folder, "x"), os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(fd, 0, 1 << 22)
        os.pwrite(fd, b"a", 10)
        os.pwrite(fd, b"b", 3 << 20)
        assert (3 << 20) < segments.data_end(fd, 0) <= (3 << 20) + (1 << 16)
        assert segments.data_end(fd, (3 << 20) + (1 << 19)) == (3 << 20) + (1 << 19)
        os.close(fd)


def test_where_holes_cannot_be_seen_the_data_end_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    with a_folder() as folder:
        fd = os.open(os.path.join(folder, "x"), os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, b"a" * 100, 0)
        monkeypatch.setattr(os, "lseek", blind)
        assert (segments.data_end(fd, 40), segments.data_end(fd, 400)) == (100, 400)
        os.close(fd)


def test_progress_comes_back_as_it_went_in() -> None:
    with a_folder() as folder:
        progress = {"acked": {"0": 5}, "files": {"t": ["t", 1.5, None]}}
        disk.write_progress(folder, progress)
        assert disk.read_progress(folder) == progress


def test_progress_that_is_missing_or_damaged_at_any_byte_is_empty() -> None:
    with a_folder() as folder:
        assert disk.read_progress(folder) == {}
        disk.write_progress(folder, {"acked": {"0": 5}})
        path = os.path.join(folder, PROGRESS_FILE)
        with open(path, "rb") as file:
            data = file.read()
        for at in range(len(data)):
            for damaged in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
                files.write_bytes(path, damaged, sync=False)
                assert disk.read_progress(folder) == {}


def test_papers_come_back_as_they_went_in() -> None:
    with a_folder() as root:
        folder = disk.attempt_directory(root, 1000, PAPERS.attempt_id)
        disk.create_attempt(folder, PAPERS)
        assert disk.read_attempt(folder) == PAPERS
        assert disk.tenants(root) == [(1000, os.path.join(root, "u1000"))]
        assert disk.attempt_directories(os.path.join(root, "u1000")) == [folder]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "\xff", json.dumps(PAPERS._asdict() | {"request": {}}), "[" * 100_000]
)
def test_papers_that_cannot_be_read_are_one_error_that_names_them(text: str) -> None:
    with a_folder() as folder:
        with open(os.path.join(folder, ATTEMPT_FILE), "w", encoding="latin-1") as file:
            file.write(text)
        with pytest.raises(FormatError, match=ATTEMPT_FILE):
            disk.read_attempt(folder)


def test_papers_of_a_newer_release_say_so() -> None:
    with a_folder() as folder:
        files.write_json(os.path.join(folder, ATTEMPT_FILE), PAPERS._asdict() | {"format": 9})
        with pytest.raises(UnknownVersionError, match="attempt format 9"):
            disk.read_attempt(folder)


def test_a_folder_that_is_not_there_has_no_attempts() -> None:
    with a_folder() as folder:
        assert disk.attempt_directories(os.path.join(folder, "nowhere")) == []
        os.mkdir(os.path.join(folder, "no papers"))
        assert disk.attempt_directories(folder) == []


def test_segments_are_listed_by_writer_in_order_and_other_files_left_alone() -> None:
    with a_folder() as folder:
        for name in ("w0-000002.seg", "w0-000000.seg", "w11-000001.seg", "w0-000003.seg.part", "note.txt"):
            files.write_bytes(os.path.join(folder, name), b"", sync=False)
        assert segments.indexes(folder) == {0: [0, 2], 11: [1]}


def test_a_spool_has_one_daemon_at_a_time() -> None:
    with a_folder() as folder:
        with disk.hold(folder) as root:
            assert root == os.path.join(os.path.realpath(folder), "v1")
            with (
                pytest.raises(disk.SpoolBusyError, match="another daemon holds the spool"),
                disk.hold(folder),
            ):
                pass
        with disk.hold(folder):
            assert os.stat(os.path.join(folder, "v1")).st_mode & 0o777 == 0o700


@pytest.mark.parametrize("token", ["../x", "a/b", "", ".", "a\0b", "é", "a b"])
def test_a_token_that_is_no_plain_name_leads_nowhere(token: str) -> None:
    with pytest.raises(FormatError, match="is not a plain name"):
        blobs.path_of("/spool/a", token)
    with a_folder() as folder, pytest.raises(blobs.BlobGoneError, match="is not a plain name"):
        blobs.settle(folder, token, 1)


def test_a_snapshot_is_hashed_and_read_as_it_is() -> None:
    from blake3 import blake3

    with a_folder() as folder:
        os.mkdir(os.path.join(folder, "blobs"))
        fd = blobs.create(folder, "t-1")
        data = os.urandom(3_000_000)
        os.write(fd, data)
        os.close(fd)
        assert blobs.settle(folder, "t-1", len(data)) == blake3(data).hexdigest()
        with blobs.open_blob(folder, "t-1") as piece:
            assert piece(1000, 50) == data[1000:1050]
        with pytest.raises(FileExistsError):
            blobs.create(folder, "t-1")
        assert disk.usage(folder).blobs >= len(data)
        blobs.delete(folder, "t-1")
        blobs.delete(folder, "t-1")
        assert blobs.tokens(folder) == []


@pytest.mark.parametrize("recorded", [0, 4, 6])
def test_a_snapshot_of_another_size_is_no_version_of_the_file(recorded: int) -> None:
    with a_folder() as folder:
        os.mkdir(os.path.join(folder, "blobs"))
        files.write_bytes(blobs.path_of(folder, "t"), b"12345")
        with pytest.raises(blobs.BlobGoneError, match=f"has 5 bytes, {recorded} were recorded"):
            blobs.settle(folder, "t", recorded)


def test_a_snapshot_that_is_a_link_is_gone() -> None:
    with a_folder() as folder:
        os.mkdir(os.path.join(folder, "blobs"))
        os.symlink("/etc/passwd", blobs.path_of(folder, "t"))
        with pytest.raises(blobs.BlobGoneError, match="is gone"):
            blobs.settle(folder, "t", 5)


def test_an_attempt_is_deleted_with_all_that_is_in_it() -> None:
    with a_folder() as root:
        folder = disk.attempt_directory(root, 1000, "a")
        disk.create_attempt(folder, PAPERS)
        files.write_bytes(blobs.path_of(folder, "t"), b"x")
        disk.delete_attempt(folder)
        disk.delete_attempt(folder)
        assert not os.path.exists(folder)


def test_json_that_cannot_be_read_is_none() -> None:
    with a_folder() as folder:
        path = os.path.join(folder, "x.json")
        assert files.read_json(path) is None
        files.write_json(path, {"a": [1, "\ud800"]})
        assert files.read_json(path)["a"][0] == 1
        files.write_bytes(path, b"{")
        assert files.read_json(path) is None


def test_a_mark_that_cannot_be_read_is_none() -> None:
    assert segments.read_mark(-1) == NO_MARK
