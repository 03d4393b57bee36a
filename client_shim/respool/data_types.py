"""The media types, by W&B's name for their module."""

from __future__ import annotations

from respool.media import Audio, Histogram, Html, Image, Molecule, Object3D, Plotly, Table, Video

__all__ = ["Audio", "Histogram", "Html", "Image", "Molecule", "Object3D", "Plotly", "Table", "Video"]
