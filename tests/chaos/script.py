"""A Python script in a process of its own, which Lightning may double."""

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests import forked

ROOT = Path(__file__).parents[2]
PATIENCE = 240  # seconds


def answers(source: str, folder: Path) -> list[Any]:
    """Run a script that can import dlplug and the tests; the JSON lines that it printed, sorted.

    Args:
        source: Of the script.
        folder: For its file.
    Raises:
        RuntimeError: it ended with an error.
    """
    script = folder / "script.py"
    script.write_text(source)
    # What Lightning has told this process of others is not for the new ones.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PL_", "MASTER_"))}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [forked.python(), str(script)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"the script ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found = []
    for line in done.stdout.splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return sorted(found)
