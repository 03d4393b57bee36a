"""`Audio`: a sound from a file or from samples."""

from __future__ import annotations

import io
import os
import sys
from array import array
from typing import Any, ClassVar

from respool.media.base import Media, Source, path_of, suffix_of


class Audio(Media):
    """A sound file, or samples at `sample_rate` per second, which become a 16-bit WAV: floats from -1 to 1 or
    integers of 16 bits, a flat sequence or frames x channels.
    """

    kind: ClassVar[str] = "audio-file"
    folder: ClassVar[str] = "audio"

    def __init__(self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        super().__init__(lambda: _source(data_or_path, sample_rate), caption)


def _source(value: Any, sample_rate: int | None) -> Source:
    if isinstance(value, (str, bytes, os.PathLike)):
        path = path_of(value, "Audio")
        return Source(suffix_of(path, ".wav"), path=path)
    if sample_rate is None:
        raise ValueError("samples need a sample_rate")
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    frames = value.tolist() if hasattr(value, "tolist") else list(value)
    nested = bool(frames) and isinstance(frames[0], (list, tuple))
    channels = len(frames[0]) if nested else 1
    flat = [sample for frame in frames for sample in frame] if nested else frames
    facts = {"sample_rate": int(sample_rate), "duration": len(frames) / sample_rate}
    return Source(".wav", _wav(flat, channels, int(sample_rate)), facts=facts)


def _wav(samples: list[Any], channels: int, sample_rate: int) -> bytes:
    import wave  # noqa: PLC0415 - only samples need it

    data = array("h", [_sample(sample) for sample in samples])
    if sys.byteorder == "big":
        data.byteswap()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(data.tobytes())
    return buffer.getvalue()


def _sample(value: Any) -> int:
    scaled = round(value * 32767.0) if isinstance(value, float) else int(value)
    return max(-32768, min(32767, scaled))
