"""Every benchmark in turn, about seven minutes: `python tests/bench/all.py [NAME ...]`.

Each runs in a process of its own and says what it found; at the end there is one markdown table. For the peer's
rows: pip install wandb==0.31.0. Other work on the machine shows in the numbers, so leave it alone meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, TESTS)  # as a script it finds its siblings like this

from bench.report import Result, machine, table  # noqa: E402 - behind the line that makes it importable

NAMES = (
    "import_cost",
    "init_cost",
    "log_back_to_back",
    "log_paced",
    "log_daemon_stopped",
    "bounds",
    "checkpoint_save",
    "checkpoint_travel",
    "daemon_ready",
    "daemon_sustained",
    "daemon_idle",
    "spool_to_hub",
    "heartbeats",
)


def main(names: list[str]) -> int:
    """Run them; 0 when every budget is met, 1 when one is missed, 2 when one could not be measured."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        print(f"No benchmark is called {', '.join(unknown)}. There are: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    about, begin, results, failed = machine(), time.time(), list[Result](), list[str]()
    for name in names or NAMES:
        print(f"\n== {name}", flush=True)
        found = _run(name)
        results += found or []
        failed += [name] if found is None else []
    print(f"\n{about}; {time.time() - begin:.0f} s\n")
    print(table(results))
    if failed:
        print(f"\nNot measured, see above: {', '.join(failed)}")
        return 2
    return 1 if any(one.met is False for one in results) else 0


def _run(name: str) -> list[Result] | None:
    """One benchmark's results; None when it failed."""
    with tempfile.NamedTemporaryFile(prefix="respool-bench-", suffix=".json") as file:
        paths = os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH", "")]))
        env = {**os.environ, "PYTHONPATH": paths, "RESPOOL_BENCH_RESULTS": file.name}
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], env=env, check=False)
        text = file.read()
    return [Result(*row) for row in json.loads(text)] if done.returncode == 0 and text else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
