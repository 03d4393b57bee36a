"""The hub: keeps what the daemons send, decides who continues what, shows one history per run.

api      HTTP: bodies, keys, status codes            (Starlette routes, raw ASGI where bytes flow)
service  decisions and folds, over plain data        (no SQL, no HTTP, no clock)
store    what is kept: records and blobs             (interfaces in `store.ports`; SQLite and a folder)
hub      one open hub: store, blobs, clock, ears
app      the composition root: `create_app`, `serve`
"""

from __future__ import annotations

__version__ = "0.1.0"
