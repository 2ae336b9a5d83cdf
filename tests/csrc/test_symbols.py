"""The libraries' symbols: PyTorch 2.10's stable C interface and nothing else of torch."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "dlplug" / "_native"
# The aoti_torch_* and torch_* names that libtorch_cpu.so of the 2.10.0 wheel exports.
KNOWN = set((Path(__file__).parent / "torch_2_10_symbols.txt").read_text().split())

pytestmark = pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm of binutils")
LIBRARIES = sorted(NATIVE.glob("*.so"))


def names(library: Path, which: str) -> list[str]:
    text = subprocess.run(
        ["nm", "-D", which, str(library)], capture_output=True, text=True, check=True
    ).stdout
    return [line.split()[-1].split("@")[0] for line in text.splitlines()]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda path: path.name)
class TestLibrary:
    def test_needs_only_what_torch_2_10_has(self, library):
        """Every function of torch that is needed is in PyTorch 2.10's C interface."""
        used = {n for n in names(library, "--undefined-only") if re.match(r"(aoti_)?torch_", n)}
        assert used and used <= KNOWN, used - KNOWN

    def test_needs_no_cxx_symbol_of_torch(self, library):
        """No C++ name of c10, at or torch is needed: those change with every release."""
        changing = [n for n in names(library, "--undefined-only") if re.match(r"_ZN?K?\d*.*", n)]
        assert not [n for n in changing if re.search(r"(3c10|2at|5torch|6caffe2)\d", n)]
        assert not [n for n in names(library, "--undefined-only") if n.startswith("Py")]

    def test_exports_no_function_of_its_own(self, library):
        """Kernels are hidden: two libraries with the same name for one op do not mix."""
        assert not [n for n in names(library, "--defined-only") if "dlplug" in n]

    def test_names_libtorch_without_a_path(self, library):
        """libtorch_cpu.so is found because torch has loaded it, wherever it is installed."""
        dynamic = subprocess.run(
            ["readelf", "-d", str(library)], capture_output=True, text=True, check=True
        ).stdout
        assert "[libtorch_cpu.so]" in dynamic
        assert "RPATH" not in dynamic and "RUNPATH" not in dynamic
        assert "libpython" not in dynamic and "libgomp" not in dynamic


def test_the_list_can_refuse():
    """A function that came after 2.10 is not in the list."""
    assert "torch_from_blob" not in KNOWN and "torch_parallel_for" in KNOWN
