"""A plugin of pytest: the library with sanitizers is the one that runs, and which test it is in."""

from pathlib import Path

import pytest

from tests.sanitize.folder import CURRENT_TEST, LIBRARIES


def pytest_collection_finish(session) -> None:
    """All imports are done: a run whose kernels are others proves nothing."""
    maps = Path("/proc/self/maps").read_text().split()
    opened = {path for path in maps if Path(path).name == "libdlplug_cpu.so"}
    if opened != {str(LIBRARIES / "libdlplug_cpu.so")}:
        raise pytest.UsageError(f"{opened} is open, not the library in {LIBRARIES}")
    if not any("libasan" in path for path in maps):
        raise pytest.UsageError("AddressSanitizer is not loaded")


def pytest_runtest_logstart(nodeid: str) -> None:
    CURRENT_TEST.write_text(nodeid)


def pytest_sessionfinish() -> None:
    """Not reached where a finding ends the process."""
    CURRENT_TEST.unlink(missing_ok=True)
