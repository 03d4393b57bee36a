"""Media: what becomes a file of the run and a small reference in the row. Loaded when a script first names one.

A media object is encoded when it is made, so the array behind it may be reused at once; a path is read when it
is logged. When log() has returned, the file is committed like one that save() kept, and the row names it.
"""

from __future__ import annotations

from respool.media.audio import Audio
from respool.media.base import Media
from respool.media.documents import Html, Molecule, Object3D, Plotly, Video
from respool.media.histogram import Histogram
from respool.media.image import Image
from respool.media.table import Table

__all__ = ["Audio", "Histogram", "Html", "Image", "Media", "Molecule", "Object3D", "Plotly", "Table", "Video"]
