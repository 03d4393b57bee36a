"""Every limit of the protocol and of the spool format, by name. Enforced at every door."""

from __future__ import annotations

MAX_PAYLOAD = 16 << 20
"""Bytes of one record's or message's payload. A row of 16 MiB is a file, not a row."""

MAX_MESSAGE = 32 << 20
"""Bytes of one control message: a config and a summary, each at most a record."""

MAX_FDS = 8
"""Descriptors that one message may carry; the kernel's own limit is 253."""

MAX_NAME = 1024
"""Bytes of a file's name inside a run, UTF-8."""

MAX_CHECKPOINT_STEP = (1 << 62) - 1
"""The largest step that a checkpoint may have, above or below zero."""

HIDES_NOTHING = 1 << 62
"""The step of a cut that hides no row of anyone: who writes it has become more than a candidate."""

MAX_RUN_ID = 64
"""Characters of a run id."""

MAX_KEY = 1024
"""Characters of a metric's name."""

MAX_LABEL = 1024
"""Characters of a run's name, group or job type."""

MAX_NOTES = 32 << 10
"""Characters of a run's notes."""

MAX_TAG = 256
"""Characters of a tag."""

MAX_TAGS = 100
"""Tags that a run has. With name and notes they are one message, of which a shim keeps a megabyte unsent."""

MAX_ALERTS = 100
"""Alerts that a run keeps, the newest ones."""

SEGMENT_SIZE = 8 << 20
"""Bytes of a segment, fallocated. Two stand ready per writer: the one in use and the one ahead."""

SEGMENT_RESERVE = 64 << 10
"""Last bytes of a segment that only LOSS, STATE and FILE records may use, so that what explains a full
spool always fits in it."""

ROWS_QUOTA = 2 << 30
"""Bytes of segments a user may hold in the spool, unless configured."""

BLOBS_QUOTA = 50 << 30
"""Bytes of file snapshots a user may hold, unless configured; a fifth of the free space where that is less."""

FREE_FLOOR = 0.10
"""Share of a disk that files in the spool leave to others, unless configured. Rows, which are small and cannot be
had again, may take half of it."""

MAX_BATCH = 4 << 20
"""Raw bytes of frames in one upload request."""

HEARTBEAT_SECONDS = 15.0
"""Between two heartbeats of a node to a hub."""

SILENT_AFTER = 3 * HEARTBEAT_SECONDS
"""Seconds without a heartbeat after which an attempt is shown as silent and may be taken over."""

SILENCE_BOUND = 300.0
"""Seconds without a heartbeat, of hub uptime, after which a silent attempt is judged."""

HANDSHAKE_SECONDS = 5.0
"""How long the daemon waits for the hub before it answers an attach from its journal."""

RING_SECONDS = 1.0
"""A shim rings the doorbell when its last ring is this old; see FOLLOW_SECONDS."""

FOLLOW_SECONDS = 1.5
"""How long the daemon keeps looking at a segment after a ring or after it last found something. Longer than
RING_SECONDS, so that every record is either announced or looked for."""

SYNC_SECONDS = 0.025
"""Period of the look at live segments; what is found is synced in the same turn, so a record is durable at
most two periods after it was written, disk permitting (promise P4 says 50 ms)."""
