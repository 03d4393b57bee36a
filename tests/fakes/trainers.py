"""Real processes that each begin a run as told, say what came of it, and wait for words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Self

SCRIPT = """
import json, os, sys
import respool
options = json.loads(sys.argv[1])
wait = options.pop("wait_seconds", 0.0)
log, code, rewind = options.pop("log", 1), options.pop("code", 0), options.pop("rewind", None)
from respool import local_join
local_join.WAIT_SECONDS = wait
try:
    run = respool.init(project="p", mode="spool", **options)
except respool.UsageError as error:
    print(json.dumps({"error": str(error)}), flush=True)
    os._exit(1)
for _ in range(log):
    run.log({"rank": os.environ.get("RANK", "-")})
attached = run._keeper.attached
print(json.dumps({"id": run.id, "attempt": run.attempt_id, "writer": attached.writer, "joined": attached.joined,
    "step": attached.step, "resumed": run.resumed, "config": dict(run.config)}), flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == "exec":
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if word == "log":
        run.log({"more": 1})
    if word == "rewind":
        print(json.dumps(run.rewind(0)), flush=True)
    if word == "child":
        import subprocess
        done = subprocess.run([sys.executable, *sys.argv], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        print(done.stdout.strip(), flush=True)
    if word == "fork":
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            run.log({"dropped": 1})
            child = respool.init(project="p", mode="spool", **options)
            child.log({"forked": 1})
            print(json.dumps({"attempt": child.attempt_id, "writer": child._keeper.attached.writer}), flush=True)
            child.finish()
            os._exit(0)
        os.waitpid(pid, 0)
    if word == "superseded":
        run._rung = run._keeper.watch._next = 0.0
        run.log({"more": 1})
        print(json.dumps(run.superseded), flush=True)
    if word == "finish":
        run.finish(code)
        os._exit(0)
os._exit(0)
"""


class Trainer:
    """A process that began, or was refused; it waits for words and crashes at the end of them."""

    def __init__(self, folder: str, environ: dict[str, str], options: dict[str, Any]) -> None:
        path = os.path.join(folder, "train.py")
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as file:
                file.write(SCRIPT)
        kept = {name: value for name, value in os.environ.items() if name != "RESPOOL_LAUNCH_ID"}
        self.process = subprocess.Popen(
            [sys.executable, "train.py", json.dumps(options)],
            cwd=folder, env=kept | environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.pid = self.process.pid

    def answer(self) -> Any:
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def say(self, word: str) -> Self:
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self

    def end(self, word: str = "") -> str:
        """Finish, or crash; what it printed on standard error."""
        with self.process:
            if word:
                self.say(word)
            self.process.stdin.close()
            return self.process.stderr.read()

    def kill(self) -> str:
        """SIGKILL; what it printed on standard error."""
        self.process.kill()
        return self.end()
