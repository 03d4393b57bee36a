"""Artifacts: named, numbered sets of files, over save and restore. Loaded when a script first names one.

Version N of NAME is the files `artifacts/NAME/vN/...` of the run that logged it, and a manifest beside them,
written last: an artifact is there whole or not at all. Versions count per run and name; rewinding the run hides
none of them.
"""

from __future__ import annotations

from respool.artifacts.artifact import Artifact

__all__ = ["Artifact"]
