"""What happened when each component was last loaded, kept from process to process.

Listing imports nothing, so it can tell neither a component's docstring nor that its import fails;
the last load could. The memory is best effort: a file in the user's cache folder, one for each
Python environment. Reading or writing it never raises, and nothing is decided by it: a component
that failed is tried again when it is needed.
"""

import json
import os
import sys
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """How the last load of a component ended.

    Args:
        failed: ``Type: message`` of the exception; None after a success.
        summary: First line of its docstring; empty if there is none.
        seconds: How long a slow import took; None for one that was not slow, or not measured.
    """

    failed: str | None = None
    summary: str = ""
    seconds: float | None = None


class Memory:
    """Outcomes of earlier loads, by distribution, version and target.

    Args:
        path: The JSON file, which need not exist; None to remember nothing.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._outcomes: dict[str, Outcome] | None = None

    @classmethod
    def of_this_environment(cls) -> "Memory":
        """The memory of the running Python environment, under ``$XDG_CACHE_HOME/dlplug``."""
        return cls(file_of_this_environment("plugins"))

    def recall(self, distribution: str, version: str, target: str) -> Outcome | None:
        """The outcome of the last load, or None when none is remembered."""
        if self._outcomes is None:
            self._outcomes = self._read()
        return self._outcomes.get(_key(distribution, version, target))

    def record(self, distribution: str, version: str, target: str, outcome: Outcome) -> None:
        """Remember an outcome; writes the file only when it is news."""
        if self.path is None or self.recall(distribution, version, target) == outcome:
            return
        # Another process may have written meanwhile; the window that is left costs one memory.
        self._outcomes = self._read() | {_key(distribution, version, target): outcome}
        text = json.dumps({key: asdict(value) for key, value in self._outcomes.items()}, indent=0)
        write_or_forget(self.path, text)

    def _read(self) -> dict[str, Outcome]:
        outcomes = {}
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            raw = json.loads(self.path.read_text(encoding="utf-8")) if self.path else {}
            for key, value in raw.items():
                failed, summary = value.get("failed"), value.get("summary")
                seconds = value.get("seconds")
                outcomes[key] = Outcome(
                    str(failed) if failed else None,
                    str(summary or ""),
                    float(seconds) if seconds else None,
                )
        return outcomes


def file_of_this_environment(stem: str) -> Path | None:
    """A file for what is remembered between processes: ``<stem>-<environment>.json``.

    None where the user has no home folder.
    """
    # The same version may load in one environment and fail in another.
    name = f"{stem}-{zlib.crc32(sys.prefix.encode()):08x}.json"
    folder = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG specification says to ignore a relative folder.
        cache = Path(folder) if os.path.isabs(folder) else Path.home() / ".cache"
    except RuntimeError:
        return None
    return cache / "dlplug" / name


def write_or_forget(path: Path, text: str) -> None:
    """Write a file in one step; where that is impossible it is not remembered, and nobody hurt."""
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def _key(distribution: str, version: str, target: str) -> str:
    return f"{distribution} {version} {target}"
