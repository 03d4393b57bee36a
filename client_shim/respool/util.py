"""`wandb.util`, as far as scripts use it."""

from __future__ import annotations

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def generate_id(length: int = 8) -> str:
    """A random run id of `length` characters of [a-z0-9]."""
    import secrets  # noqa: PLC0415 - brings hashlib and base64, which `import respool` must not

    return "".join(secrets.choice(_LETTERS) for _ in range(length))
