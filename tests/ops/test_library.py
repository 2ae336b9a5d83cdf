"""Opening the compiled libraries: each reason for not doing so is told apart."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dlplug.ops import _library
from tests.ops.norm_properties import needs_kernels

PACKAGE = Path(_library.__file__).parents[1]
BUILT = {"libraries": ["cpu", "cuda"], "platform": _library.this_platform(), "cuda": "13.0"}


@pytest.mark.parametrize(
    ("device", "info", "reason"),
    [
        ("cpu", {}, "not built: .* holds no build record; run python -m pip install"),
        (
            "cpu",
            {"libraries": [], "reasons": {"cpu": "no C++ compiler was found"}},
            "not built: no C\\+\\+ compiler was found",
        ),
        ("cpu", BUILT | {"platform": "plan9-mips"}, "built for another platform: plan9-mips, this"),
        ("cpu", BUILT, "library missing: .*nowhere.* was built but is gone"),
    ],
)
def test_obstacles_are_told_apart(device, info, reason):
    """Not built, built for another platform and missing have different words and fixes."""
    import re

    assert re.match(reason, _library._obstacle(device, Path("/nowhere/lib.so"), info))


def test_cuda_versions_must_fit(monkeypatch):
    """A library for another CUDA, or for a torch without one, is not opened."""
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "has no CUDA" in _library._obstacle("cuda", Path("/x"), BUILT)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert _library._obstacle("cuda", Path("/x"), BUILT) == "built for CUDA 13.0, torch has 12.8"


def copy_of_the_ops(folder: Path) -> Path:
    """A package of only the errors and ops, with its own, empty ``_native``."""
    package = folder / "dlplug"
    shutil.copytree(PACKAGE / "ops", package / "ops", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PACKAGE / "__init__.py", package)
    shutil.copy(PACKAGE / "errors.py", package)
    (package / "_native").mkdir()
    return package


def ask(folder: Path) -> list[str]:
    """Result and reason of an op in a fresh interpreter that sees only that copy."""
    code = (
        "import torch; from dlplug import ops; x = torch.randn(3, 4); "
        "assert torch.allclose(ops.rms_norm(x), torch.rms_norm(x, (4,), None, 1e-6)); "
        "print(ops.current_isa()); print(ops.explain('rms_norm', x))"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_pure_installation_works(tmp_path):
    """Without any compiled library every op still runs, and says what it lacks."""
    copy_of_the_ops(tmp_path)
    isa, op, reason = ask(tmp_path)
    assert (isa, op) == ("None", "rms_norm: torch")
    assert reason.startswith("  not cpu: not built:")


@needs_kernels
def test_a_damaged_library_falls_back(tmp_path):
    """A library that cannot be opened is refused with the loader's words; ops still run."""
    native = copy_of_the_ops(tmp_path) / "_native"
    shutil.copy(_library.BUILD_INFO, native)
    (native / "libdlplug_cpu.so").write_bytes(b"\x7fELF and nothing more")
    isa, op, reason = ask(tmp_path)
    assert (isa, op) == ("None", "rms_norm: torch")
    assert f"refused by torch {torch.__version__}: " in reason and "libdlplug_cpu.so" in reason


@needs_kernels
@pytest.mark.skipif(
    not (PACKAGE / "_native" / "libdlplug_cuda.so").is_file(), reason="no CUDA library was built"
)
def test_the_cuda_library_opens_without_a_gpu(tmp_path):
    """Opening it needs neither a driver nor torch's CUDA libraries; CPU tensors are unaffected."""
    path = PACKAGE / "_native" / "libdlplug_cuda.so"
    code = (
        "import torch; from dlplug import ops; "
        f"torch.ops.load_library({str(path)!r}); x = torch.randn(3, 4); "
        "assert torch.allclose(ops.layer_norm(x), torch.layer_norm(x, (4,)), atol=1e-6); "
        "print(torch._C._dispatch_has_kernel_for_dispatch_key("
        "'dlplug::layer_norm_forward', 'CUDA'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert done.stdout.strip() == "True", done.stderr
