"""`wandb.util`, as far as scripts use it."""

from __future__ import annotations

import os
from typing import Any

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_EVEN = 252
"""Bytes below this fall on each letter alike. Not `secrets`: it costs init() 5 ms, for hashlib and OpenSSL."""


def generate_id(length: int = 8) -> str:
    """A random run id of `length` characters of [a-z0-9]."""
    made = ""
    while len(made) < length:
        made += "".join(_LETTERS[byte % 36] for byte in os.urandom(length) if byte < _EVEN)
    return made[:length]


def id_from(seed: bytes) -> str:
    """A run id like `generate_id`'s that follows from `seed`, of 16 bytes."""
    number, made = int.from_bytes(seed, "little"), ""
    while len(made) < 8:
        number, at = divmod(number, 36)
        made += _LETTERS[at]
    return made


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    from respool.compat import absent  # noqa: PLC0415 - only for what is not here

    return absent(f"util.{name}")
