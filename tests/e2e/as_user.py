"""Runs `python -c CODE` or `respool WORDS` as another user: python as_user.py UID code CODE ARGS | respool WORDS.

Everything is imported before the privileges are dropped: the interpreter of whoever runs the tests may lie in a
home that other users cannot enter.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

LATER = """
_strptime asyncio base64 bz2 ctypes email encodings.ascii encodings.idna encodings.latin_1
encodings.utf_8 fnmatch getpass glob gzip hashlib http.client importlib.metadata ipaddress json
linecache logging lzma mimetypes platform pwd queue random secrets select shlex shutil signal socket
sqlite3 ssl stat string subprocess tempfile textwrap threading timeit tokenize tomllib traceback
unicodedata urllib.parse urllib.request uuid zipfile zoneinfo httpx httpcore trio zstandard blake3
msgpack
"""


def preload() -> None:
    for name in LATER.split():
        importlib.import_module(name)
    import httpx

    import respool
    import respoold

    for package in (respool, respoold):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if "__main__" not in found.name and ".keras" not in found.name:
                importlib.import_module(found.name)
    httpx.Client(transport=httpx.HTTPTransport(uds="/nowhere")).close()


def main() -> None:
    uid, kind, *words = sys.argv[1:]
    preload()
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    if kind == "respool":
        from respool.command import main as command

        sys.exit(command(words))
    sys.argv = ["-c", *words[1:]]
    exec(compile(words[0], "<trainer>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
