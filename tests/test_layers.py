"""The rings: who may import whom, and what `import respool` costs a training script."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

HEAVY = {
    "asyncio", "concurrent.futures", "dataclasses", "email", "hashlib", "http", "httpx", "inspect", "json", "logging",
    "multiprocessing", "numpy", "pathlib", "respool_hub", "respoold", "rich", "shutil", "sqlite3", "ssl",
    "starlette", "subprocess", "tempfile", "torch", "trio", "unittest", "urllib", "uvicorn", "watchdog",
}  # fmt: skip
"""None of these may be loaded by `import respool`. `re` is not among them: `typing` loads it."""


def test_imports_go_one_way_from_ring_to_ring() -> None:
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_respool_loads_nothing_heavy() -> None:
    look = "import sys; before = set(sys.modules); import respool; print(*sorted(set(sys.modules) - before))"
    found = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True
    )
    assert HEAVY.isdisjoint(found.stdout.split())
