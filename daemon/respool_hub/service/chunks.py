"""Files in chunks: checking a manifest against what is stored, and keeping it."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.store.ports import Blobs, Transaction
from respool_hub.store.rows import ManifestRow
from respoold.core.cuts import CHUNK
from respoold.core.hubapi import BlobsMissing
from respoold.core.manifest import BadManifestError, check, names_of

MAX_ASKED = 1 << 16
MAX_CHUNK = 4 * CHUNK


class Described(NamedTuple):
    """A file that is to become visible: its name for people, its manifest's digest, its size and its chunks."""

    name: str
    digest: str
    size: int
    digests: bytes
    sizes: list[int]


def missing(blobs: Blobs, digests: bytes) -> BlobsMissing:
    """Which of the blobs must be uploaded, and what is there of them. Raises RefusalError for what is no list of
    digests.
    """
    if len(digests) % 32 or len(digests) > 32 * MAX_ASKED:
        raise refuse(
            "bad-request",
            f"{len(digests)} bytes are no list of digests.",
            f"Ask for at most {MAX_ASKED}, 32 bytes each.",
        )
    names = names_of(digests)
    absent = [index for index, size in enumerate(blobs.want(names)) if size is None]
    return BlobsMissing(absent, blobs.begun([names[index] for index in absent]))


def verify(blobs: Blobs, file: Described) -> ManifestRow:
    """The manifest of a file all of whose chunks are stored. Raises RefusalError "missing-blob" or "bad-request"."""
    try:
        check(file.digest, file.size, file.digests, file.sizes, MAX_CHUNK)
    except BadManifestError as error:
        raise refuse(
            "bad-request",
            f"The manifest of {file.name or 'a checkpoint'!r} is wrong: {error}.",
            "Read the file again.",
        ) from error
    found = blobs.want(names_of(file.digests))
    for index, (size, stored) in enumerate(zip(file.sizes, found, strict=True)):
        if stored is None:
            raise _absent(file, index)
        if stored != size and not blobs.verify(file.digests[32 * index : 32 * index + 32].hex()):
            raise _absent(file, index)
        if stored != size:
            said = f"Chunk {index} of {file.name or 'a checkpoint'!r} has {stored} bytes, not {size}."
            raise refuse("bad-request", said, "Read the file again.")
    return ManifestRow(file.digest, file.size, file.digests, array("I", file.sizes).tobytes())


def keep(tx: Transaction, manifests: list[ManifestRow]) -> None:
    """Write verified manifests down."""
    for manifest in manifests:
        tx.add_manifest(manifest)


def sizes_of(manifest: ManifestRow) -> list[int]:
    """The sizes of a manifest's chunks, in order."""
    sizes = array("I")
    sizes.frombytes(manifest.sizes)
    return sizes.tolist()


def _absent(file: Described, index: int) -> RefusalError:
    said = f"Chunk {index} of {file.name or 'a checkpoint'!r} is not here."
    return refuse("missing-blob", said, "Ask which are missing, upload them, then commit again.", chunk=index)
