"""A hub's address: how it is spelled, and whether what is sent there can be read on the way."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def normal(url: str) -> str:
    """The spelling under which a hub is filed."""
    return url.strip().rstrip("/")


def usable(url: str) -> bool:
    """Whether this is a hub's address at all: http, https, or unix with an absolute path."""
    scheme, _, rest = url.partition(":")
    if scheme == "unix":
        return rest.startswith("/")
    try:
        return scheme in {"http", "https"} and bool(urlsplit(url).hostname)
    except ValueError:
        return False


def in_the_open(url: str) -> bool:
    """Whether a key sent to this address would cross a network in plain text. Loopback is no network."""
    if not url.startswith("http://"):
        return False
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
