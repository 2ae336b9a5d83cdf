"""``python -m dlplug.bench.one_row NAME THREADS SECONDS HAS_COMPILED``: one row, as JSON.

With the allocator as it comes, in a process of its own: where it was tuned before, its heap has
holes that large blocks are taken from, and whoever finds one is faster.
"""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import torch

from dlplug.bench.allocator import DEFAULT
from dlplug.bench.device import CPU
from dlplug.bench.measure import measure, reason
from dlplug.bench.row import Row


def measure_apart(row: Row, seconds: float, has_compiled: bool) -> dict[str, Any]:
    """What `measure` gives for the default allocator, from another process.

    Args:
        row: One of `dlplug.bench.session.rows`.
        seconds, has_compiled: As for `measure`.
    """
    threads = torch.get_num_threads()
    arguments = [row.name, str(threads), str(seconds), str(int(has_compiled))]
    line = [sys.executable, "-m", "dlplug.bench.one_row", *arguments]
    try:
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as failure:
        head = {"row": row.name, "device": CPU, "threads": threads, "allocator": DEFAULT}
        return head | {"failed": reason(failure)}


def main(name: str, threads: str, seconds: str, has_compiled: str) -> None:
    """Print the result."""
    from dlplug.bench.session import rows

    torch.set_num_threads(int(threads))
    row = next(row for row in rows(CPU) if row.name == name)
    alone = replace(row, allocators=(DEFAULT,))
    print(json.dumps(measure(alone, float(seconds), has_compiled == "1")[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
