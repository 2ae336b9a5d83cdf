"""In what two locks differ, in words."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dlplug.errors import RunError
from dlplug.plugin.renames import Renames
from dlplug.run.lock import Lock, read_lock

DIFFERENCES_SHOWN = 20
DIGITS_SHOWN = 12
UNREADABLE = "plugins.lock cannot be read"
WRITE = "python -m dlplug plugins lock --config FILE"


def differences(
    theirs: Lock,
    ours: Lock,
    sides: tuple[str, str] = ("in the lock", "here"),
    *,
    renames: Renames | None = None,
    is_part: bool = False,
) -> list[str]:
    """Each difference, such as ``torch: version 2.12.0 in the lock, 2.13.0 here``.

    Args:
        theirs: Perhaps of an older version, which called components otherwise.
        ours: In present names.
        sides: How the two are called.
        renames: What is now called otherwise.
        is_part: What ``ours`` does not use may stand in ``theirs``.
    """
    tables = [_rows(theirs, renames), _rows(ours)]
    keys = tables[1] if is_part else {**tables[0], **tables[1]}
    found = []
    for key in keys:
        a, b = (table.get(key) for table in tables)
        if a is None or b is None:
            absent, present = sides if a is None else sides[::-1]
            found.append(f"{key}: {present}, not {absent}")
            continue
        for field in {**a, **b}:
            values = [_shown(row.get(field)) for row in (a, b)]
            if a.get(field) != b.get(field):
                found.append(f"{key}: {field} {values[0]} {sides[0]}, {values[1]} {sides[1]}")
    return found


def differences_from_text(text: str, ours: Lock, **arguments: Any) -> list[str]:
    """As `differences`, from the text of a lock, which may hold anything."""
    try:
        return differences(read_lock(text), ours, **arguments)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return [UNREADABLE]


def require_lock(
    path: Path,
    ours: Lock,
    *,
    is_part: bool,
    renames: Renames | None = None,
    accept: str = WRITE,
    who: str = "",
) -> None:
    """Refuse code that is not what a lock says.

    Args:
        path: Of the lock.
        ours: Of the code that is here.
        is_part: As in `differences`.
        renames: As in `differences`.
        accept: The command that takes what is here for right, for messages.
        who: Which of several processes this is; empty for the only one.
    Raises:
        RunError: there is no such file, or it says otherwise; names each difference.
    """
    place = ", ".join(filter(None, (str(path.resolve()), who)))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RunError(
            f"cannot read the lock '{path}': {reason}",
            where=place,
            fix=f"accept what is here: {accept}",
        ) from None
    sides = (f"in {path}", "here")
    found = differences_from_text(text, ours, sides=sides, renames=renames, is_part=is_part)
    if found:
        raise RunError(
            f"the code is not what {path} says: {joined(found)}",
            where=place,
            fix=f"bring back what it says; or accept what is here: {accept}",
        )


def joined(found: Iterable[str]) -> str:
    """Differences on one line, the first ones of many."""
    found = list(found)
    more = len(found) - DIFFERENCES_SHOWN
    return "; ".join(found[:DIFFERENCES_SHOWN] + ([f"and {more} more"] if more > 0 else []))


def _rows(lock: Lock, renames: Renames | None = None) -> dict[str, Mapping[str, Any]]:
    """What is compared, by the name under which a difference is told."""
    rows: dict[str, Mapping[str, Any]] = {"Python": {"version": lock["python"]}}
    rows |= lock["distributions"]
    for entry in lock["components"]:
        successors = renames.successors(entry["kind"], entry["id"]) if renames else []
        name = (successors or [entry["id"]])[0]
        rows[f"{name} ({entry['kind']})"] = {
            "entry point": entry["entry_point"],
            "file": entry.get("sha256"),
        }
    return rows


def _shown(value: str | None) -> str:
    return "unknown" if value is None else value if len(value) < 60 else value[:DIGITS_SHOWN]
