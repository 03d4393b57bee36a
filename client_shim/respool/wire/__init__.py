"""The protocol and the formats that shim, daemon and hub share. Pure: no sockets, files, clocks, threads.

A session on the Unix socket, all of it control traffic. The data never travel here: the trainer appends them
to a segment whose descriptor the daemon sent (`respool.wire.segment`), one write(2) of a frame per record
(`respool.wire.frames`).

    trainer                                  daemon
      | Hello{versions, client}                 |
      |---------------------------------------->|
      |         Welcome{version} or Refused     |
      |<----------------------------------------|
      | Attach{request}                         |    asks the hub, or its journal after 5 s
      |---------------------------------------->|
      |         Waiting{reason}  (maybe)        |
      |         Attached{...} + 2 segments      |    or Refused: nothing was changed
      |<----------------------------------------|
      | ... pwrite, pwrite, pwrite ...          |    reads, syncs, uploads the segment
      | Ring          (once a second at most)   |    looks at the segment for the next 1.5 s
      |---------------------------------------->|
      | Rolled{segment}                           |    the segment before is complete
      |---------------------------------------->|
      |         Spare{segment} + descriptor    |    always one ahead
      |<----------------------------------------|
      | BlobRequest{name, size}                 |
      |---------------------------------------->|
      |         BlobGrant{token} + 1 file       |    the trainer copies, then writes a FILE record: that
      |<----------------------------------------|    record is the commit, it needs no message
      | Watch{name, path, token}                |    a live file: later versions are wanted
      |---------------------------------------->|
      |         Watched{names}                  |    if it may; then, whenever one has settled:
      |         Changed{name, base, token}      |    a snapshot, for the trainer's next FILE record
      |<----------------------------------------|
      | Flush{hub}                              |
      |---------------------------------------->|
      |         Flushed{seq}                    |
      |<----------------------------------------|
      |         Notice{superseded, quota, ...}  |    at any time
      |<----------------------------------------|

What a process kept without a daemon may be handed to a system daemon later, on a connection of its own:

      | Adopt{paper}                            |    do you have it?
      |---------------------------------------->|
      |         Adopted{held}                   |
      |<----------------------------------------|
      | Adopt{paper, files, last} + descriptors |    as many messages as it takes; it copies them
      |---------------------------------------->|
      |         Adopted{held}                   |
      |<----------------------------------------|

If the daemon dies, the trainer goes on in the segment it has; no call waits. It tries the socket again at its
next ring, says Hello and Reattach{attempt, writer, segment}, and gets its spare segment. If the trainer dies, the
daemon sees the process end (pidfd), reads the segment to its end and judges.

The end is a STATE record, not a message: it is there whether or not a daemon is.

Versions: Hello lists what the client speaks, Welcome names the choice; no common one is Refused "version" with
the releases of both. Within a version fields may be added: unknown fields and unknown messages are passed over,
unknown record kinds are kept and forwarded.

Payloads of records (msgpack maps):

    ROW       the logged row itself; its step is in the header
    CONFIG    {"set": {...}, "unset": [...]}
    SUMMARY   {"set": {...}, "unset": [...]}       explicit changes of run.summary
    STATE     {"state": "preempting"} | {"state": "ended", "exit_code": int | None, "reason": str}; "preempting" with
              the "source" of a notice: a signal that was caught, no word of the script's
    CUT       {"step": int}                          run.rewind(step)
    FILE      {"name", "blob": token, "size", "policy", "mtime", "how"}
    LOSS      {"reason": str}                        span = how many records are missing
    SNAPSHOT  {"config", "summary", "meta", "last_step": int | None}   first record of every segment
    META      {"name", "notes", "tags", "metrics": {metric: {"summary", "step_metric"}}}: what changed;
              "summary" is one of last min max first mean none, or several with commas between
"""
