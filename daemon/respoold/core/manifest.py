"""Manifests: what a file consists of, and the one digest that stands for it."""

from __future__ import annotations

from blake3 import blake3

DIGEST = 32
"""Bytes of a BLAKE3-256."""


class BadManifestError(ValueError):
    """It does not put a file together; the text says why."""


def manifest_digest(digests: bytes, sizes: list[int]) -> str:
    """BLAKE3-256, in hexadecimal, over each chunk's digest followed by its size as 8 little-endian bytes."""
    hasher = blake3()
    for index, size in enumerate(sizes):
        hasher.update(digests[index * DIGEST : (index + 1) * DIGEST] + size.to_bytes(8, "little"))
    return hasher.hexdigest()


def names_of(digests: bytes) -> list[str]:
    """Each chunk's digest in hexadecimal, in order."""
    return [digests[at : at + DIGEST].hex() for at in range(0, len(digests), DIGEST)]


def check(digest: str, size: int, digests: bytes, sizes: list[int], largest: int) -> None:
    """Raises BadManifestError unless the chunks come to `size` bytes and the manifest to `digest`."""
    if len(digests) != DIGEST * len(sizes):
        raise BadManifestError(f"{len(sizes)} sizes stand beside {len(digests)} bytes of digests")
    if any(type(one) is not int or not 0 < one <= largest for one in sizes):
        raise BadManifestError(f"a chunk is empty or has more than {largest} bytes")
    if sum(sizes) != size:
        raise BadManifestError(f"its chunks come to {sum(sizes)} bytes, not {size}")
    if manifest_digest(digests, sizes) != digest:
        raise BadManifestError(f"its digest is not {digest}")
