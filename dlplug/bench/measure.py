"""Measuring one row: who can do the work, how well, and how fast."""

import time
import warnings
from typing import Any

import torch

from dlplug.bench import memory
from dlplug.bench.accuracy import error
from dlplug.bench.allocator import allocator, release, settings
from dlplug.bench.compiled import forget_compiled
from dlplug.bench.device import current, finish, making_tensors
from dlplug.bench.row import OURS, Contender, LeftOut, Missing, Row, Work
from dlplug.bench.timing import medians

# Seconds; a peer that takes longer is not timed in rounds. The first call warms up and is compared.
SLOWEST_CALL, SLOWEST_FIRST_CALL = 3.0, 15.0
REASON_LENGTH = 120


def measure(row: Row, seconds: float, has_compiled: bool = True) -> list[dict[str, Any]]:
    """Time a row with the present number of threads.

    Args:
        row: Which.
        seconds: For the rounds of each setting of the allocator.
        has_compiled: Whether to wait for peers that are compiled.
    Returns:
        For each setting plain data with the keys ``row``, ``device``, ``threads`` of the processor,
        ``allocator`` and either ``skipped`` or ``failed`` (a reason), or what `_result` and
        `_limit` return and, where the row has it, ``memory``: bytes by which a call raises the
        peak, by contender.
    """
    wanted = settings(row.allocators)
    place = {"device": current(), "threads": torch.get_num_threads()}
    head = [{"row": row.name} | place | {"allocator": name} for name in wanted]
    free = memory.available()
    if free is not None and row.memory > free:
        why = f"needs {row.memory / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free"
        return [part | {"skipped": why} for part in head]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of peers
            results = _measure(row, wanted, seconds, has_compiled)
    except Exception as failure:
        results = [{"failed": reason(failure)} for _ in wanted]
    finally:
        forget_compiled()
        release()
    return [part | result for part, result in zip(head, results, strict=True)]


def _measure(row: Row, wanted, seconds: float, has_compiled: bool) -> list[dict[str, Any]]:
    with making_tensors():
        work = row.build()
        reference = work.reference()
    errors = {OURS: error(work.ours.outputs(), reference)}
    valid, others = {OURS: work.ours}, {}
    for name, peer in work.peers.items():
        try:
            if peer.is_compiled and not has_compiled:
                raise LeftOut("it is compiled first")
            with making_tensors():
                contender = peer.build()
            start = time.perf_counter()
            outputs = contender.outputs()
            finish()
            if not peer.is_compiled:
                _refuse_slow("its first call", start, SLOWEST_FIRST_CALL)
            errors[name] = error(outputs, reference)
            del outputs
            if errors[name] > work.tolerance:
                others[name] = {"failed": f"its error is {errors[name]:.1e}"}
                continue
            _try_out(contender)
            valid[name] = contender
        except Missing as why:
            others[name] = {"missing": str(why)}
        except LeftOut as why:
            others[name] = {"left out": str(why)}
        except Exception as failure:
            others[name] = {"failed": reason(failure)}
        release()
    results = []
    for setting in wanted:
        with allocator(setting):
            calls = {name: contender.run for name, contender in valid.items()}
            calls |= {} if work.limit is None else work.limit.runs
            before = {name: c.before for name, c in valid.items() if c.before is not None}
            times = medians(calls, seconds, before=before)
        results.append(_result(work, times, errors, others) | _limit(work, times))
    if work.has_memory:
        peaks = {name: memory.peak_growth(contender.run) for name, contender in valid.items()}
        results[0]["memory"] = peaks
    return results


def _try_out(contender: Contender) -> None:
    if contender.before is not None:
        contender.before()
    finish()
    start = time.perf_counter()
    contender.run()
    finish()
    _refuse_slow("a call", start, SLOWEST_CALL)


def _refuse_slow(what: str, start: float, limit: float) -> None:
    spent = time.perf_counter() - start
    if spent > limit:
        raise LeftOut(f"{what} takes {spent:.1f} s")


def _result(work: Work, times, errors, others) -> dict[str, Any]:
    """What was found, as plain data.

    Returns:
        ``backend`` of dlplug, and whether that ``is_routed`` to PyTorch; its ``ms``, ``error``, and
        whether that ``is_exact``; ``peers`` by name, with ``ms``, ``ratio`` (its time / ours) and
        ``error``, or ``missing``, ``failed`` or ``left out`` with a reason; ``best``, the fastest
        valid peer, or None.
    """
    ours = times[OURS]
    peers = {
        name: {
            "ms": _ms(times[name]),
            "ratio": round(times[name] / ours, 3),
            "error": errors[name],
        }
        for name in work.peers
        if name not in others
    }
    return {
        "backend": work.backend,
        "is_routed": work.backend in ("torch", "reference"),
        "is_exact": errors[OURS] <= work.tolerance,
        "ms": _ms(ours),
        "error": errors[OURS],
        "peers": peers | others,
        "best": min(peers, key=lambda name: times[name], default=None),
    }


def _limit(work: Work, times) -> dict[str, Any]:
    """The share of the ``limit`` that dlplug reaches, and which limit that is; or None, None."""
    if work.limit is None:
        return {"limit": None, "limit_of": None}
    fastest = min(work.limit.runs, key=lambda name: times[name])
    share = times[fastest] * work.limit.share / times[OURS]
    return {"limit": round(share, 3), "limit_of": fastest}


def _ms(seconds: float) -> float:
    return float(f"{seconds * 1e3:.4g}")


def reason(failure: Exception) -> str:
    """The first line of what an exception says, with its name."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    text = f"{type(failure).__name__}: {lines[0]}" if lines else type(failure).__name__
    return text if len(text) <= REASON_LENGTH else text[: REASON_LENGTH - 3] + "..."
