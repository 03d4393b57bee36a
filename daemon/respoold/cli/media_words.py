"""Media of a row as one reads them in a table: what they are, not the reference that stands for them. Pure."""

from __future__ import annotations

from typing import Any

from respoold.cli import words


def brief(item: Any) -> str:
    """A logged value in one cell: `image 32 x 32`, `2 images`, `histogram of 64 bins`; others as `words.value`."""
    if _is_media(item):
        return words.clean(_one(item))
    if isinstance(item, list) and item and all(map(_is_media, item)):
        return words.clean(_one(item[0]) if len(item) == 1 else _several(item))
    return words.value(item)


def _is_media(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("_type"), str)


def _kind(item: dict[str, Any]) -> str:
    return str(item["_type"]).removesuffix("-file")


def _several(items: list[dict[str, Any]]) -> str:
    kinds = {_kind(one) for one in items}
    return f"{len(items)} media" if len(kinds) > 1 else words.counted(len(items), kinds.pop())


def _one(item: dict[str, Any]) -> str:
    kind = _kind(item)
    text = f"{kind}{_extent(kind, item)}"
    if item.get("error"):
        return f"{text}, not kept: {item['error']}"
    named = item.get("caption") or item.get("title")
    return f"{text} '{named}'" if named else text


def _extent(kind: str, item: dict[str, Any]) -> str:
    match kind:
        case "image" if "width" in item:
            return f" {item['width']} x {item.get('height')}"
        case "histogram":
            return f" of {words.counted(len(item.get('values') or ()), 'bin')}"
        case "table" if "nrows" in item:
            return f" of {words.counted(int(item['nrows']), 'row')}"
        case "chart":
            return f", {str(item.get('kind')).replace('_', ' ')}"
    return f" of {words.size(item['size'])}" if isinstance(item.get("size"), int) else ""
