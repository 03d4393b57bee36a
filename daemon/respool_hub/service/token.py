"""Attempt tokens: what a key is exchanged for when an attempt begins.

    rst_ATTEMPT.KEY_ID.MAC      MAC: HMAC-SHA256 over the rest, with a secret of the hub's data

A token is good for one attempt, as long as that exists and the key that it came from is not revoked; that the
key expires does not end a training that began before. It is computed, not stored: the same key and attempt
always give the same token, also after a restart and for every process over the same store.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

PREFIX = "rst_"


class Claim(NamedTuple):
    """What a genuine token says."""

    attempt_id: str
    key_id: str


def issue(secret: bytes, attempt_id: str, key_id: str) -> str:
    """The token of an attempt for the holder of a key."""
    said = f"{attempt_id}.{key_id}"
    return f"{PREFIX}{said}.{_mac(secret, said)}"


def read(secret: bytes, token: str) -> Claim | None:
    """What it says; None for one that this hub never issued."""
    said, _, mac = token.removeprefix(PREFIX).rpartition(".")
    attempt_id, dot, key_id = said.partition(".")
    if not dot or not hmac.compare_digest(_mac(secret, said).encode(), mac.encode("utf-8", "replace")):
        return None
    return Claim(attempt_id, key_id)


def _mac(secret: bytes, said: str) -> str:
    return hmac.new(secret, b"respool-attempt\0" + said.encode("utf-8", "replace"), "sha256").hexdigest()
