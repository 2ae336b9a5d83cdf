"""Inject one fault after the other and keep account."""

import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.chaos.faults import Fault
from tests.chaos.progress import listening

SHOWN = 50  # lines of an error


def run(faults: Iterable[Fault], is_quick: bool, say: Callable[[str], object]) -> list[dict]:
    """Inject each fault as often as it says, each in a new folder.

    Args:
        faults: Of which kinds.
        is_quick: Whether the small counts are enough.
        say: Gets lines about how far it is.
    Returns:
        A row for each: fault, sentence, asked, injected, contained, measured, seconds, and the
        error that ended it, or None.
    """
    return [_row(fault, fault.quick if is_quick else fault.full, say) for fault in faults]


def is_contained(row: dict[str, Any]) -> bool:
    """Whether all faults that were asked for fired, and everything required held after each."""
    return row["error"] is None and row["asked"] == row["injected"] == row["contained"]


def _row(fault: Fault, count: int, say: Callable[[str], object]) -> dict[str, Any]:
    started = time.monotonic()
    row = {"fault": fault.name, "sentence": fault.sentence, "asked": count}

    def seconds() -> float:
        return round(time.monotonic() - started, 1)

    def tell(done: int) -> None:
        say(f"{fault.name}: {done} of {count}, {seconds()} s")

    tell(0)
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{fault.name}-"))
    try:
        with listening(tell):
            outcome = fault.inject(count, folder)
    except Exception as error:
        # One that cannot be injected must not hide what the others find.
        traceback.print_exc(limit=SHOWN, file=sys.stderr)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        found = {"injected": 0, "contained": 0, "measured": {}, "error": what}
    else:
        injected, contained, measured = outcome.injected, outcome.contained, outcome.measured
        found = {"injected": injected, "contained": contained, "measured": measured, "error": None}
    row |= found | {"seconds": seconds()}
    if is_contained(row):
        shutil.rmtree(folder)
        say(f"{fault.name}: contained, {row['seconds']} s")
    else:
        say(f"{fault.name}: NOT contained, {row['seconds']} s; see {folder}")
    return row
