"""A file of a run, as the Api sees it."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from respool.apis.hub import Hub, file_url
from respool.errors import UsageError


class File:
    """The newest version of a name: `name`, `size` in bytes, `digest` (BLAKE3), `step`, `updated_at`."""

    def __init__(self, hub: Hub, run_url: str, found: dict[str, Any]) -> None:
        self._hub = hub
        self._url = f"{run_url}/files/{file_url(str(found['name']))}"
        self.name = str(found["name"])
        self.size = int(found.get("size") or 0)
        self.digest = found.get("digest")
        self.step = found.get("step")
        self.updated_at = found.get("time")

    @property
    def path(self) -> str:
        """Its path at the hub."""
        return self._url

    def download(
        self,
        root: str = ".",
        replace: bool = False,
        exist_ok: bool = False,
        api: Any = None,  # noqa: ARG002 - W&B's
    ) -> BinaryIO:
        """Put it at root/name and open it for reading bytes. One that is there is replaced with `replace`, opened
        as it is with `exist_ok`, else a UsageError. Never seen half: written aside and renamed.
        """
        target = os.path.join(os.fspath(root), self.name)
        if os.path.exists(target) and not replace:
            if exist_ok:
                return open(target, "rb")
            raise UsageError(f"{target} exists. Pass replace=True, exist_ok=True or another root=.")
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
        aside = f"{target}.{os.getpid()}.respool"
        try:
            with open(aside, "wb") as file:
                self._hub.fetch(self._url, file)
        except BaseException:
            os.unlink(aside)
            raise
        os.replace(aside, target)
        return open(target, "rb")

    def __repr__(self) -> str:
        return f"<respool file {self.name} ({self.size} bytes)>"
