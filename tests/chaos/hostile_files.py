"""Hostile checkpoints, configs and data: all are refused with one error, and nothing of them runs.

Each payload carries a canary, a file that appears when anything of it is executed. Before it is
offered to dlplug, the same payload is read carelessly in another process, where the canary must
appear: a payload that cannot fire proves nothing.
"""

import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.chaos import hostile_checkpoints, hostile_configs, hostile_data
from tests.chaos.hostile import Payload, Victim, offer
from tests.chaos.outcome import Outcome

SOURCES = (hostile_checkpoints, hostile_configs, hostile_data)
CARELESS = """
import sys
for source in sys.stdin.read().split("\\0"):
    try:
        exec(source, {})
    except BaseException:
        pass
"""


def inject(count: int, folder: Path) -> Outcome:
    """Offer ``count`` payloads, spread evenly over all that there are, and again from the first.

    Args:
        count: How many.
        folder: Empty.
    """
    injected = contained = 0
    failures: list[str] = []
    before = _peak()
    while injected < count:
        place = folder / str(injected)
        place.mkdir()
        with contextlib.chdir(place):
            payloads = all_payloads(place)
            number = min(count - injected, len(payloads))
            chosen = [payloads[i * len(payloads) // number] for i in range(number)]
            silent = unarmed(chosen)
            if silent:
                raise RuntimeError(f"these payloads do not fire: {', '.join(silent)}")
            for payload in chosen:
                injected += 1
                answer = offer(payload)
                is_right = answer.is_right_for(payload)
                contained += is_right
                failures += [] if is_right else [f"{payload.name}: {answer.code} {answer.err}"]
    measured = {"payloads": injected, "memory (MB)": (_peak() - before) // 1024}
    return Outcome(injected, contained, measured | ({"first": failures[0]} if failures else {}))


def all_payloads(folder: Path) -> list[Payload]:
    """Every payload, in a folder with a config and a good run.

    Args:
        folder: Empty, and the working folder.
    """
    victim = Victim(folder)
    answer = offer(Payload("good", folder, ("fit", "--config", "digits.yaml"), "", code=0))
    if answer.code != 0:
        raise RuntimeError(f"the good run failed: {answer.err}")
    return [payload for source in SOURCES for payload in source.payloads(victim)]


def unarmed(payloads: Iterable[Payload]) -> list[str]:
    """The names of payloads whose canary does not appear when they are read carelessly.

    The canaries that appear are removed.
    """
    armed = [payload for payload in payloads if payload.naive is not None]
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CARELESS],
        input="\0".join(str(payload.naive) for payload in armed).encode(),
        check=True,
        capture_output=True,
    )
    silent = [payload.name for payload in armed if not payload.canary.exists()]
    for payload in armed:
        payload.canary.unlink(missing_ok=True)
    return silent


def _peak() -> int:
    """The most memory that this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
