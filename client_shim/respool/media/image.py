"""`Image`: a picture from a path, encoded bytes, an array, a tensor, a Pillow image or a figure."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from respool import notices
from respool.media import png
from respool.media.base import Media, Source, path_of, suffix_of
from respool.row_media import library_of

_MAGIC = (
    (png.SIGNATURE, ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
)
NOT_KEPT = ("classes", "boxes", "masks")
"""What W&B draws over a picture in the browser."""

_PNG_MODES = frozenset({"1", "L", "LA", "I", "P", "RGB", "RGBA"})


class Image(Media):
    """A picture. Arrays are H x W, or H x W x 1 to 4 samples, tensors C x H x W (a batch is laid side by side):
    integers are 0 to 255, floats 0 to 1, and floats below 0 are stretched to the full range. `caption` goes in
    the reference; boxes, masks and classes are not kept, which is warned of.
    """

    kind: ClassVar[str] = "image-file"
    folder: ClassVar[str] = "images"

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,  # noqa: ARG002 - W&B's signature, as what follows `caption`
        caption: str | None = None,
        grouping: int | None = None,  # noqa: ARG002 - as above
        classes: Any = None,
        boxes: Any = None,
        masks: Any = None,
        file_type: str | None = None,  # noqa: ARG002 - as above
    ) -> None:
        passed = dict(zip(NOT_KEPT, (classes, boxes, masks), strict=True))
        given = ", ".join(f"{name}=" for name, value in passed.items() if value is not None)
        if given:
            notices.warn(
                f"image {given}", f"Image({given}): the picture is kept, these are not; draw them into it."
            )
        super().__init__(lambda: _source(data_or_path), caption)


def _source(value: Any) -> Source:
    if isinstance(value, Image):
        return value._source
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _encoded(bytes(value))
    library = library_of(value)
    if library in {"matplotlib", "pyplot"}:
        return _encoded(_drawn(value))
    if library == "PIL" or (hasattr(value, "save") and hasattr(value, "convert") and hasattr(value, "mode")):
        return _encoded(_pillow(value))
    if hasattr(value, "__array__") or hasattr(value, "detach"):
        return _encoded(_array(value))
    path = path_of(value, "Image")
    with open(path, "rb") as file:
        facts = _facts(file.read(24))
    return Source(suffix_of(path, ".png"), path=path, facts={**facts, "format": suffix_of(path, ".png")[1:]})


def _encoded(data: bytes) -> Source:
    for magic, suffix in _MAGIC:
        if data.startswith(magic):
            return Source(suffix, data, facts={**_facts(data), "format": suffix[1:]})
    raise ValueError(f"{len(data)} bytes that begin with {data[:8]!r} are no PNG, JPEG, GIF, WebP or BMP")


def _facts(data: bytes) -> dict[str, Any]:
    size = png.size_of(data)
    return {} if size is None else {"width": size[0], "height": size[1]}


def _drawn(value: Any) -> bytes:
    figure = value.gcf() if hasattr(value, "gcf") else getattr(value, "figure", None) or value
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _pillow(image: Any) -> bytes:
    buffer = io.BytesIO()
    (image if image.mode in _PNG_MODES else image.convert("RGB")).save(buffer, format="PNG")
    return buffer.getvalue()


def _array(value: Any) -> bytes:
    """PNG of an array or a tensor."""
    import numpy as np  # noqa: PLC0415 - only a script that has arrays comes here; it has numpy

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        pixels = np.asarray(value.float().numpy() if value.is_floating_point() else value.numpy())
        pixels = _channels_last(np, pixels)
    else:
        pixels = np.asarray(value)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
        raise ValueError(f"an array of shape {pixels.shape} is no image: H x W, or H x W x 1 to 4")
    height, width, samples = pixels.shape
    return png.encode(width, height, samples, np.ascontiguousarray(_bytes_of(np, pixels)).tobytes())


def _channels_last(np: Any, pixels: Any) -> Any:
    if pixels.ndim == 4:
        pixels = np.concatenate(list(pixels), axis=-1)
    return np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels


def _bytes_of(np: Any, pixels: Any) -> Any:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind in "iub":
        return np.clip(pixels.astype(np.int64) * (255 if pixels.dtype.kind == "b" else 1), 0, 255).astype(
            np.uint8
        )
    pixels = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=1.0, neginf=0.0)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0.0:
        pixels = (pixels - low) / ((high - low) or 1.0)
    scale = 255.0 if low < 0.0 or high <= 1.0 else 1.0
    return np.clip(np.rint(pixels * scale), 0, 255).astype(np.uint8)
