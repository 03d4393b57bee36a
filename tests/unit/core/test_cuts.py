"""Where files are cut into chunks."""

from __future__ import annotations

import io
import json
import random
import zipfile
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respoold.core.cuts import CHUNK, SMALLEST, chunk_sizes

MIB = 1 << 20


def sizes(data: bytes) -> list[int]:
    return chunk_sizes(lambda offset, size: data[offset : offset + size], len(data))


def chunks(data: bytes) -> set[str]:
    found, at = set(), 0
    for size in sizes(data):
        found.add(sha256(data[at : at + size]).hexdigest())
        at += size
    assert at == len(data)
    return found


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def as_zip(pickled: bytes, tensors: list[bytes]) -> bytes:
    """A file as torch.save lays it out: the pickle first, then each storage, stored."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickled)
        for number, tensor in enumerate(tensors):
            archive.writestr(zipfile.ZipInfo(f"archive/data/{number}"), tensor)
    return made.getvalue()


def as_safetensors(step: str, tensors: list[bytes]) -> bytes:
    index: dict[str, object] = {"__metadata__": {"step": step}}
    at = 0
    for number, tensor in enumerate(tensors):
        index[f"t{number}"] = {"dtype": "U8", "shape": [len(tensor)], "data_offsets": [at, at + len(tensor)]}
        at += len(tensor)
    head = json.dumps(index).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(tensors)


TENSORS = [noise(1, 9 * MIB), noise(2, 600 << 10), noise(3, 1000), noise(4, 5 * MIB + 7)]


def test_a_plain_file_is_cut_by_the_grid() -> None:
    assert sizes(b"") == []
    assert sizes(b"x") == [1]
    assert sizes(bytes(CHUNK)) == [CHUNK]
    assert sizes(noise(0, 2 * CHUNK + 5)) == [CHUNK, CHUNK, 5]


def test_a_pickle_that_grows_costs_no_tensor_again() -> None:
    old, new = as_zip(noise(5, 10_000), TENSORS), as_zip(noise(6, 13_337), TENSORS)
    fresh = chunks(new) - chunks(old)
    assert len(fresh) <= 3
    assert sum(1 for size in sizes(new) if size >= SMALLEST) >= 6


def test_a_tensor_has_the_same_chunks_in_torch_and_safetensors_files() -> None:
    torch_file, safe = chunks(as_zip(b"pickle", TENSORS)), chunks(as_safetensors("100", TENSORS))
    assert len(torch_file & safe) == 3 + 1 + 2


def test_metadata_of_another_length_cost_no_tensor_again() -> None:
    assert len(chunks(as_safetensors("100000", TENSORS)) - chunks(as_safetensors("1", TENSORS))) <= 3


def test_a_tensor_that_changed_costs_itself_only() -> None:
    changed = [TENSORS[0], TENSORS[1], TENSORS[2], noise(9, len(TENSORS[3]))]
    fresh = chunks(as_zip(b"p", changed)) - chunks(as_zip(b"p", TENSORS))
    assert len(fresh) <= 2 + 2  # the header before it, with its checksum, and the directory


def test_a_zip_with_64_bit_places_is_read_as_any_other() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for number, tensor in enumerate(TENSORS):
            with archive.open(f"data/{number}", "w", force_zip64=True) as entry:
                entry.write(tensor)
    assert len(chunks(made.getvalue()) & chunks(as_safetensors("1", TENSORS))) == 3 + 1 + 2


def test_what_torch_writes_is_cut_at_its_tensors() -> None:
    torch = pytest.importorskip("torch")
    weights = {f"w{number}": torch.randn(700, 700) for number in range(3)}

    def saved(step: int) -> bytes:
        made = io.BytesIO()
        torch.save({"step": step, "seen": "x" * step, **weights}, made)
        return made.getvalue()

    old, new = saved(1), saved(5000)
    assert sum(map(len, (old, new))) > 2 * 3 * 700 * 700 * 4
    assert len(chunks(new) & chunks(old)) >= 3


@pytest.mark.parametrize("torn", [1, 21, 22, 100, 5000])
def test_a_torn_archive_is_cut_by_the_grid(torn: int) -> None:
    data = as_zip(b"p", TENSORS)[:-torn]
    assert sum(sizes(data)) == len(data)
    assert max(sizes(data)) <= CHUNK


@given(st.binary(max_size=200), st.sampled_from([b"PK\3\4", b"\x10\0\0\0\0\0\0\0{", b"PK\3\4PK\5\6", b""]))
def test_whatever_a_file_claims_its_chunks_are_all_of_it(body: bytes, head: bytes) -> None:
    assert sum(sizes(head + body)) == len(head + body)


@given(st.data())
def test_a_damaged_index_never_makes_a_chunk_too_large(data: st.DataObject) -> None:
    whole = bytearray(
        as_zip(b"p", [bytes(SMALLEST + 1)] * 2)
        if data.draw(st.booleans())
        else as_safetensors("1", [bytes(SMALLEST + 1)] * 2)
    )
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, 400)) * data.draw(st.sampled_from([1, -1]))
        whole[at] = data.draw(st.integers(0, 255))
    found = sizes(bytes(whole))
    assert sum(found) == len(whole)
    assert not found or 0 < min(found) <= max(found) <= CHUNK
