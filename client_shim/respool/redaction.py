"""Secrets of known shape, taken out of what is about to be kept. What has no shape cannot be known."""

from __future__ import annotations

import re
from functools import cache

HIDDEN = "<redacted>"

_WHOLE = (
    r"sk-[A-Za-z0-9_-]{16,}",
    r"hf_[A-Za-z0-9]{20,}",
    r"rsp_[A-Za-z0-9_-]{8,}",
    r"gh[pousr]_[A-Za-z0-9]{20,}",
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"glpat-[A-Za-z0-9_-]{16,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[A-Za-z0-9_-]{40,}",
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",
)
_NAME = r"(?:secret|passw(?:or)?d|api[_-]?key|access[_-]?key(?:[_-]?id)?|(?:api|auth|access)[_-]?token)"


@cache
def _shapes() -> tuple[re.Pattern[str], ...]:
    # Ten milliseconds, which init() need not pay: few command lines have a word that hints at a secret.
    return (
        re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_WHOLE)})"),
        re.compile(rf"(?i)({_NAME}[\w-]{{0,40}}[\"']?\s*[=:]\s*[\"']?)[^\s\"',;)}}\]]{{6,}}"),
        re.compile(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{12,}"),
        re.compile(r"([a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,100}:)[^\s/@]{1,200}(?=@)"),
    )


@cache
def _option() -> re.Pattern[str]:
    return re.compile(rf"(?i)--?[\w-]*(?:{_NAME}|token|key)")


_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----")
_HINTS = (
    *(
        "sk-",
        "hf_",
        "rsp_",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat",
        "glpat-",
        "xox",
        "akia",
        "asia",
    ),
    *("aiza", "ya29", "npm_", "pypi-", "eyj", "secret", "passw", "key", "token", "bearer", "basic"),
)
"""Every shape has one of these in it, and most lines have none: a look for each shape would cost them."""


def redacted(text: str) -> str:
    """One line without its secrets."""
    if not _hinted(text):
        return text
    for shape in _shapes():
        text = shape.sub(_hide, text)
    return text


def plain(text: str) -> str:
    """A line without the terminal's colours and other escapes."""
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def arguments(argv: list[str]) -> list[str]:
    """A command line without its secrets, those too that stand behind the option that names them."""
    found: list[str] = []
    for index, word in enumerate(argv):
        named = index > 0 and _names_secret(argv[index - 1])
        found.append(HIDDEN if named and not word.startswith("-") else redacted(word))
    return found


def _hinted(text: str) -> bool:
    low = text.lower()
    return any(hint in low for hint in _HINTS) or ("://" in low and "@" in low)


def _names_secret(word: str) -> bool:
    return word.startswith("-") and _hinted(word) and _option().fullmatch(word) is not None


class Redactor:
    """Line by line: a private key goes from its first line to its last."""

    def __init__(self) -> None:
        self._inside = False

    def line(self, text: str) -> str | None:
        """The line without its secrets and the terminal's escapes; None when nothing is left of it."""
        text = plain(text)
        if not self._inside and "-----" not in text:
            return redacted(text)
        if self._inside:
            end = _END.search(text)
            if end is None:
                return None
            self._inside, text = False, text[end.end() :]
            if not text.strip():
                return None
        begin = _BEGIN.search(text)
        if begin is not None:
            end = _END.search(text, begin.end())
            self._inside = end is None
            text = text[: begin.start()] + HIDDEN + ("" if end is None else text[end.end() :])
        return redacted(text)


def _hide(match: re.Match[str]) -> str:
    return (match.group(1) if match.lastindex else "") + HIDDEN
