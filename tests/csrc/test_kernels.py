"""Files that are compiled once per instruction set share no function with the rest."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = sorted((ROOT / "csrc" / "cpu" / "kernels").glob("*"))
OBJECTS = sorted((ROOT / "build" / "native").glob("CMakeFiles/kernels_*.dir/**/*.o"))
# Headers whose functions are static, or that declare only.
SHARED = {"simd.h", "narrow_types.h", "memory.h", "math.h", "philox.h", "types.h", "isa.h"}
SYSTEM = {"stddef.h", "stdint.h", "immintrin.h"}
# Declares only, and for tests alone.
EMULATED = "csrc/emulation/tiles.h"


def includes(path: Path) -> list[str]:
    return re.findall(r'#include ["<]([^">]+)[">]', path.read_text())


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_kernels_include_no_torch_and_no_standard_library(path):
    """An inline function of such a header, compiled with AVX-512, could serve the whole library."""
    allowed = {f"csrc/common/{name}" for name in SHARED} | SYSTEM
    allowed |= {f"csrc/cpu/kernels/{header.name}" for header in KERNELS} | {EMULATED}
    assert set(includes(path)) <= allowed


@pytest.mark.parametrize("name", sorted(SHARED))
def test_shared_headers_include_no_more(name):
    """The headers that kernels may include keep the same rule."""
    allowed = {f"csrc/common/{name}" for name in SHARED} | SYSTEM
    assert set(includes(ROOT / "csrc" / "common" / name)) <= allowed


def test_the_emulation_is_for_tests():
    """Its header keeps the rule, and a kernel includes it where a test's build asks for it."""
    assert set(includes(ROOT / EMULATED)) <= SYSTEM
    guarded = f'#if defined(DLPLUG_EMULATED_TILES)\n#include "{EMULATED}"\n#endif\n'
    including = [path for path in KERNELS if EMULATED in includes(path)]
    assert [path.name for path in including] == ["amx.h"]
    assert guarded in including[0].read_text()


@pytest.mark.skipif(not OBJECTS, reason="the kernels were not compiled in this checkout")
@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm of binutils")
def test_objects_hold_no_function_that_the_linker_could_share():
    """No object file of a kernel has a weak symbol, and each has only its own namespace's."""
    for path in OBJECTS:
        isa = re.search(r"kernels_(\w+)\.dir", str(path)).group(1)
        text = subprocess.run(
            ["nm", "-C", "--defined-only", str(path)], capture_output=True, text=True, check=True
        ).stdout
        for line in text.splitlines():
            _, kind, name = line.split(maxsplit=2)
            assert kind not in "WwVvu", (path, name)
            assert kind.islower() or name.startswith(f"dlplug::{isa}::"), (path, name)
