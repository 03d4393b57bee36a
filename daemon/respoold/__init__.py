"""respoold: the node daemon that keeps what training runs write, and brings it to the hub.

Three rings, each importing only what lies inside it (import-linter enforces the order):

- `core`   decides: pure functions and plain state; `now` and jitter are arguments, effects are return values
- `io`     does: one door per foreign thing (disk, hub, socket, processes, systemd), errors translated there
- `tasks`  carries: long-lived trio tasks that take effects from the core to the doors and events back

`app` composes them; `cli` is what people type.
"""

__version__ = "0.1.0"
