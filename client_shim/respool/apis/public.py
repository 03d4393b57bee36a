"""The names under which scripts import the parts of the Api from W&B."""

from __future__ import annotations

from respool.apis.api import Api
from respool.apis.file import File
from respool.apis.run import Run
from respool.apis.runs import Runs

__all__ = ["Api", "File", "Run", "Runs"]
