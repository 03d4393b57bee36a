"""After a power cut at any moment a blob is there whole or not at all, and one that was promised is there."""

from itertools import count
from pathlib import Path

import pytest
from blake3 import blake3

from fakes.power import NotedOs, lay, leftovers
from respool_hub.store import blobs, folder_upload
from respool_hub.store.blobs import FolderBlobs

CONTENTS = [b"a" * 5000, b"b" * 3000, b"c" * 70]
BY_DIGEST = {blake3(one).hexdigest(): one for one in CONTENTS}


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NotedOs:
    """What storing three blobs did, in pieces."""
    store, found = FolderBlobs(str(tmp_path / "blobs")), NotedOs()
    for module in (blobs, folder_upload):
        monkeypatch.setattr(module, "os", found)
    for digest, data in BY_DIGEST.items():
        upload = store.upload(len(data), digest)
        for at in range(0, len(data), 1000):
            upload.write(data[at : at + 1000])
        assert upload.commit(digest)
        found.remark(digest)
    monkeypatch.undo()
    return found


def test_no_power_cut_shows_a_torn_blob_or_takes_back_a_promise(noted: NotedOs, tmp_path: Path) -> None:
    numbers, shown = count(), set[int]()
    for end in range(len(noted.acts) + 1):
        done = noted.acts[:end]
        promised = {one.path for one in done if one.what == "remark"}
        for files in leftovers(done):
            new = tmp_path / f"after-{next(numbers)}"
            lay(files, str(tmp_path / "blobs"), new)
            there = seen(FolderBlobs(str(new)))
            assert promised <= there.keys()
            assert all(BY_DIGEST[digest] == data for digest, data in there.items())
            shown.add(len(there))
    assert shown == {0, 1, 2, 3}


def seen(store: FolderBlobs) -> dict[str, bytes]:
    """What the store gives out."""
    found = {}
    for digest in BY_DIGEST:
        blob = store.open(digest)
        if blob is not None:
            found[digest] = blob.read(1 << 20)
            blob.close()
    return found


@pytest.mark.parametrize("left_out", ["sync", "settle"])
def test_the_fake_cuts_the_power_of_what_is_not_synced(noted: NotedOs, left_out: str) -> None:
    careless = [one for one in noted.acts if one.what != left_out]
    every, settled = leftovers(careless)
    torn = [data for data in every.values() if data not in CONTENTS]
    assert len(torn) == (3 if left_out == "sync" else 0)
    assert settled == {} or left_out == "sync"
