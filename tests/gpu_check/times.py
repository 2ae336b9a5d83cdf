"""``python -m tests.gpu_check.times FILE SOURCES [TEXT ...]``: rows of ``bench ops`` into a file.

Those of the texts, or without one the small set of every family, which a short loan of a GPU must
give; in full, with compiled peers. Each row is kept at once and says from which sources it comes:
the same commit, or none, may stand for several. Rows that are there are not measured again.
"""

import sys
from pathlib import Path
from typing import Any

from dlplug.bench import session, verdict
from dlplug.bench.device import CUDA
from dlplug.cli.bench_ops import describe, numbers_of_threads
from dlplug.cli.bench_record import keep, recorded


def main(path: str, sources: str, *only: str, device: str = CUDA) -> int:
    """Measure what is left; 1 where a row of these sources has failed."""
    rows = session.chosen(only, is_quick=not only, device=device)
    threads = numbers_of_threads([])[:1]
    left = session.left(rows, threads, device, _found(path, sources))
    for number, row in enumerate(left, len(rows) - len(left) + 1):
        for result in session.run([row], threads, is_quick=False, device=device):
            keep(Path(path), _record(sources, [result]))
            place = f"[{number}/{len(rows)}] {session.title(result)}"
            print(f"{place}: {verdict.verdict(result)}", flush=True)
    names = {row.name for row in rows}
    results = [result for result in _found(path, sources) if result["row"] in names]
    print(verdict.summary(results))
    return int(any(verdict.outcome(result) == verdict.FAILED for result in results))


def _found(path: str, sources: str) -> list[dict[str, Any]]:
    return recorded(Path(path), _record(sources, []))


def _record(sources: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    record = describe(results)
    return record | {"commit": f"{record['commit']}, sources {sources}"}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
