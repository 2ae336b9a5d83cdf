"""setup.py: what a source distribution holds, and what is refused before anything is compiled."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from dlplug.ops import _library

ROOT = Path(__file__).parents[1]


def setup(folder: Path, *commands: str, **settings: str) -> subprocess.CompletedProcess:
    """Run setup.py; its metadata goes to ``folder``."""
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(folder), *commands]
    environment = {key: value for key, value in os.environ.items() if key != "CXX"} | settings
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_source_distribution_can_be_compiled(tmp_path):
    """It holds every file of the kernels and no library that was built in place."""
    done = setup(tmp_path, "sdist", "-d", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    sources = [str(p.relative_to(ROOT)) for p in ROOT.glob("csrc/**/*") if p.is_file()]
    configs = [str(p.relative_to(ROOT)) for p in ROOT.glob("configs/*.yaml")]
    assert {"setup.py", "CMakeLists.txt", "dlplug/cli/fit.py", *sources, *configs} <= names
    assert not [name for name in names if name.endswith(".so")]


@pytest.mark.parametrize("name", ["DLPLUG_NATIVE", "DLPLUG_CUDA"])
def test_a_switch_is_0_or_1(tmp_path, name):
    """Any other word is an error and not taken for one of them."""
    done = setup(tmp_path, **{name: "yes"})
    assert done.returncode != 0
    assert f"dlplug: {name} is 'yes'; known: 0 and 1, or unset" in done.stderr


@pytest.mark.parametrize("compiler", ["ccache no-such-compiler", "no-such-compiler"])
def test_a_compiler_that_does_not_exist_is_told(tmp_path, compiler):
    """With the variable that names it."""
    done = setup(tmp_path, DLPLUG_NATIVE="1", CXX=compiler)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert f"CXX={compiler!r} is no program; give the compiler alone" in done.stderr


def test_the_cuda_library_was_built_where_nvcc_is():
    """Where its sources do not compile, setup.py goes on without; the record has the reason."""
    if not (os.environ.get("CUDACXX") or shutil.which("nvcc")):
        pytest.skip("no nvcc here to build the CUDA library with")
    record = _library.build_info()
    reason = record.get("reasons", {}).get("cuda", "there is no build record")
    if not record.get("libraries") or reason == "DLPLUG_CUDA=0":
        pytest.skip(f"nothing was to be built with nvcc: {reason}")
    assert "cuda" in record["libraries"], reason
