"""The floor under an upload and a restore: a plain socket copy to another process, which hashes what comes and stores
it on the same disk, synced; each copy stays, as the bytes at a hub do. `python -m bench.copier SOCKET FOLDER` is that
process.
"""

from __future__ import annotations

import os
import socket
import sys
import time

PIECE = 1 << 20


def copied(path: str, source: str) -> float:
    """Seconds until `source` was taken by the copier that listens at `path`."""
    with socket.socket(socket.AF_UNIX) as channel, open(source, "rb", buffering=0) as file:
        begin = time.perf_counter()
        channel.connect(path)
        buffer = memoryview(bytearray(PIECE))
        while got := file.readinto(buffer):
            channel.sendall(buffer[:got])
        channel.shutdown(socket.SHUT_WR)
        assert channel.recv(1) == b"k"
        return time.perf_counter() - begin


def main(path: str, folder: str) -> None:
    from blake3 import blake3

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        print("ready", flush=True)
        while True:
            channel, hasher, buffer = server.accept()[0], blake3(), memoryview(bytearray(PIECE))
            target = os.path.join(folder, f"copy-{time.monotonic_ns()}")
            with channel, open(target, "wb", buffering=0) as file:
                while got := channel.recv_into(buffer):
                    hasher.update(buffer[:got])
                    file.write(buffer[:got])
                os.fdatasync(file.fileno())
                hasher.digest()
                channel.sendall(b"k")


if __name__ == "__main__":
    main(*sys.argv[1:])
