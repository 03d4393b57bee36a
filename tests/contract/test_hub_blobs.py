"""What every blob store of the hub must do. Another backend is one more entry in BACKENDS."""

import os

import pytest
from blake3 import blake3

from respool_hub.store.blobs import FolderBlobs
from respool_hub.store.ports import StoreError, StoreFullError

BACKENDS = {"folder": lambda folder: FolderBlobs(str(folder / "blobs"))}


@pytest.fixture(params=BACKENDS)
def blobs(request, tmp_path):
    made = BACKENDS[request.param](tmp_path)
    yield made
    made.close()


def put(blobs, data, digest=None):
    upload = blobs.upload(len(data))
    for start in range(0, len(data), 1000):
        upload.write(memoryview(data)[start : start + 1000])
    return upload.commit(digest or blake3(data).hexdigest())


def content(blobs, digest):
    blob = blobs.open(digest)
    try:
        parts = []
        while part := blob.read(777):
            parts.append(part)
        return b"".join(parts)
    finally:
        blob.close()


@pytest.mark.parametrize("size", [0, 1, 5000, 3_000_001])
def test_bytes_come_back_as_they_went_in(blobs, size):
    data = os.urandom(size)
    digest = blake3(data).hexdigest()
    assert (blobs.size(digest), blobs.open(digest)) == (None, None)
    assert put(blobs, data)
    assert blobs.size(digest) == size
    assert content(blobs, digest) == data


def test_bytes_with_another_digest_are_not_kept(blobs):
    wrong = "0" * 64
    assert not put(blobs, b"data", wrong)
    assert blobs.size(wrong) is None
    assert blobs.size(blake3(b"data").hexdigest()) is None


def test_the_same_bytes_twice_at_once_are_one_blob(blobs):
    digest = blake3(b"data").hexdigest()
    uploads = [blobs.upload(None), blobs.upload(4)]
    for upload in uploads:
        upload.write(b"data")
    assert [upload.commit(digest) for upload in uploads] == [True, True]
    assert content(blobs, digest) == b"data"


def test_an_open_blob_can_be_read_while_it_is_stored_again(blobs):
    digest = blake3(b"data").hexdigest()
    put(blobs, b"data")
    blob = blobs.open(digest)
    put(blobs, b"data")
    assert blob.read(99) == b"data"
    blob.close()


def test_an_aborted_upload_leaves_nothing_and_abort_after_commit_does_nothing(blobs, tmp_path):
    upload = blobs.upload(None)
    upload.write(b"half")
    upload.abort()
    upload.abort()
    whole = blobs.upload(None)
    whole.write(b"data")
    assert whole.commit(blake3(b"data").hexdigest())
    whole.abort()
    assert content(blobs, blake3(b"data").hexdigest()) == b"data"


def test_what_cannot_fit_is_refused_before_it_is_sent(blobs):
    with pytest.raises(StoreFullError):
        blobs.upload(1 << 60)


def test_leftovers_of_dead_uploads_go_at_the_next_start(tmp_path):
    first = FolderBlobs(str(tmp_path / "blobs"))
    first.upload(None).write(b"half")
    put(first, b"data")
    again = FolderBlobs(str(tmp_path / "blobs"))
    assert os.listdir(tmp_path / "blobs" / "tmp") == []
    assert content(again, blake3(b"data").hexdigest()) == b"data"


def test_an_upload_that_had_wholly_come_when_the_hub_was_killed_is_kept(tmp_path):
    first, digest = FolderBlobs(str(tmp_path / "blobs")), blake3(b"data").hexdigest()
    first.upload(4, digest).write(b"data")
    first.upload(4, blake3(b"more").hexdigest()).write(b"mor")
    again = FolderBlobs(str(tmp_path / "blobs"))
    assert os.listdir(tmp_path / "blobs" / "tmp") == []
    assert content(again, digest) == b"data"
    more = blake3(b"more").hexdigest()
    assert (again.size(more), again.begun([more])) == (None, [3])


def test_a_disk_that_fails_is_an_error_of_the_store(tmp_path, monkeypatch):
    blobs = FolderBlobs(str(tmp_path / "blobs"))
    upload = blobs.upload(None)
    upload.write(b"data")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(StoreFullError):
        upload.commit(blake3(b"data").hexdigest())
    assert blobs.size(blake3(b"data").hexdigest()) is None
    assert os.listdir(tmp_path / "blobs" / "tmp") == []
    assert issubclass(StoreFullError, StoreError)


def suspended(blobs, data, count):
    """An upload that broke off behind so many bytes; the digest of all of it."""
    digest = blake3(data).hexdigest()
    upload = blobs.upload(len(data), digest)
    upload.write(data[:count])
    upload.suspend()
    return digest


def test_an_upload_that_broke_off_is_gone_on_with_and_nobody_sees_it_before_it_is_whole(blobs):
    digest = suspended(blobs, b"0123456789", 6)
    assert (blobs.size(digest), blobs.want([digest])) == (None, [None])
    assert blobs.begun([digest, "0" * 64]) == [6, 0]
    assert blobs.resume("0" * 64, 1) is None
    upload = blobs.resume(digest, 4)  # what came last may have come after the question
    upload.write(b"456789")
    assert upload.commit(digest)
    assert content(blobs, digest) == b"0123456789"
    assert blobs.begun([digest]) == [0]
    upload.suspend()
    assert content(blobs, digest) == b"0123456789"


def test_of_two_that_broke_off_the_longer_one_is_kept_and_one_at_a_time_goes_on_with_it(blobs):
    data = b"0123456789"
    for count in (3, 7, 5):
        digest = suspended(blobs, data, count)
    assert blobs.begun([digest]) == [7]
    assert blobs.resume(digest, 8) is None, "there are fewer"
    assert blobs.begun([digest]) == [0]
    suspended(blobs, data, 7)
    first = blobs.resume(digest, 7)
    assert blobs.resume(digest, 7) is None
    first.abort()
    assert blobs.begun([digest]) == [0]


def test_a_beginning_that_is_not_what_it_should_be_ends_in_nothing(blobs, tmp_path):
    digest = suspended(blobs, b"0123456789", 6)
    (tmp_path / "blobs" / "begun" / digest).write_bytes(b"01x345")
    upload = blobs.resume(digest, 6)
    upload.write(b"6789")
    assert not upload.commit(digest)
    assert (blobs.begun([digest]), blobs.size(digest)) == ([0], None)


def test_a_beginning_that_nobody_goes_on_with_is_swept(blobs, tmp_path):
    old, new = suspended(blobs, b"old" * 9, 6), suspended(blobs, b"new" * 9, 6)
    os.utime(tmp_path / "blobs" / "begun" / old, (1, 1))
    blobs.sweep(set(), 1000.0)
    assert blobs.begun([old, new]) == [0, 6]
