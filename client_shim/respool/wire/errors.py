"""Who is wrong, and does waiting help: the errors of the wire and of the formats."""

from __future__ import annotations


class WireError(Exception):
    """Any violation of the protocol or of the spool format."""


class LocalProtocolError(WireError):
    """We broke the protocol: a bug on this side."""


class RemoteProtocolError(WireError):
    """The peer broke the protocol: close the connection, it cannot be trusted further."""


class FormatError(WireError):
    """A file is not what it should be: says which, and where."""


class UnknownVersionError(FormatError):
    """A file was written by a newer respool: it is kept untouched and not served."""
