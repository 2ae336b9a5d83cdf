"""What a result says, in words: who wins, and how the peers fared."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

WIN, LOSS, ROUTED, ALONE = "win", "loss", "routed", "alone"
FAILED, SKIPPED = "failed", "skipped"
NOT_TIMED = ("missing", "failed", "left out")


def outcome(result: dict[str, Any]) -> str:
    """``win`` or ``loss`` against the best peer, or why it is neither.

    A call that dlplug gives to PyTorch is counted as ``routed``. ``failed``: dlplug's own outputs
    are wrong. ``alone``: no peer could be timed.
    """
    if "skipped" in result:
        return SKIPPED
    if "failed" in result or not result["is_exact"]:
        return FAILED
    if result["best"] is None:
        return ALONE
    if result["is_routed"]:
        return ROUTED
    return WIN if result["peers"][result["best"]]["ratio"] >= 1 else LOSS


def verdict(result: dict[str, Any]) -> str:
    """The outcome with the ratio to the best peer, or with the reason for none."""
    word = outcome(result)
    if word == SKIPPED:
        return f"{word}, {result['skipped']}"
    if word == FAILED:
        return f"{word}, {failure(result)}"
    if word == ALONE:
        return f"{word}, {'; '.join(peer_texts(result))}"
    best = result["best"]
    return f"{word}, {result['peers'][best]['ratio']:.2f} of {best}"


def failure(result: dict[str, Any]) -> str:
    """Why a row failed."""
    if "failed" in result:
        return result["failed"]
    return f"dlplug's own error is {result['error']:.1e}"


def peer_texts(result: dict[str, Any]) -> list[str]:
    """Each peer with its ratio, the best one marked by a star, or why it has none."""
    texts = []
    for name, peer in result.get("peers", {}).items():
        reason = next((f"{key}: {peer[key]}" for key in NOT_TIMED if key in peer), None)
        if reason is None:
            star = "*" if name == result["best"] else ""
            texts.append(f"{name} {peer['ratio']:.2f}{star}")
        else:
            texts.append(f"{name} {reason}")
    return texts


def summary(results: Iterable[dict[str, Any]]) -> str:
    """How many rows have which outcome, in one line."""
    counts = Counter(map(outcome, results))
    words = {
        WIN: "faster than every peer",
        LOSS: "slower than the best peer",
        ROUTED: "routed to PyTorch",
        ALONE: "without a peer",
        FAILED: "failed",
        SKIPPED: "skipped",
    }
    always = (WIN, LOSS, ROUTED)
    parts = [f"{counts[k]} {text}" for k, text in words.items() if counts[k] or k in always]
    return f"{sum(counts.values())} rows: {', '.join(parts)}"


COLUMNS = ("row", "threads", "ms", "peers, their time / ours", "limit", "error, best peer's",
           "memory, best peer's", "outcome")  # fmt: skip


def cells(result: dict[str, Any]) -> tuple[str, ...]:
    """The columns of a table."""
    is_default = result["allocator"] == "default" and result["device"] == "cpu"
    name = result["row"] + (" (allocator as it comes)" if is_default else "")
    head, word = (name, str(result["threads"])), outcome(result)
    if "ms" not in result:
        reason = result.get("skipped") or result.get("failed")
        return (*head, "", reason, "", "", "", word)
    best = result["best"]
    peers = result["peers"]
    error = f"{result['error']:.1e}, {peers[best]['error']:.1e}" if best else ""
    limit = "" if result["limit"] is None else f"{result['limit']:.0%}"
    return (
        *head,
        f"{result['ms']:.4g}",
        "; ".join(peer_texts(result)),
        limit,
        error,
        _memory(result),
        word if word != FAILED else f"{word}: {failure(result)}",
    )


def _memory(result: dict[str, Any]) -> str:
    peaks = result.get("memory") or {}
    pair = [peaks.get("dlplug"), peaks.get(result["best"])]
    return ", ".join(f"{peak / 1e6:.1f} MB" for peak in pair) if None not in pair else ""
