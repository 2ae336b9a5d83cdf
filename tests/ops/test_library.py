"""Opening the compiled libraries: each reason for not doing so is told apart."""

import ast
import hashlib
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


def checkout(folder: Path) -> Path:
    """The sources beside a package, in a folder of their own."""
    shutil.copy(PACKAGE.parent / "CMakeLists.txt", folder)
    return Path(shutil.copytree(PACKAGE.parent / "csrc", folder / "csrc"))


needs_sources = pytest.mark.skipif(
    not (PACKAGE.parent / "csrc").is_dir(), reason="no sources lie beside an installed package"
)


@needs_sources
def test_a_library_of_other_sources_is_not_opened(tmp_path, monkeypatch):
    """Its kernels may read other arguments than the schemas in Python say; fixes are named."""
    sources = checkout(tmp_path)
    monkeypatch.setattr(_library, "SOURCES", sources)
    record = {"libraries": ["cpu"], "platform": _library.this_platform()}
    record["sources"] = _library.sources_digest(sources)
    library = tmp_path / "libdlplug_cpu.so"
    library.touch()
    assert _library._obstacle("cpu", library, record) == ""
    for changed in (record | {"sources": "0" * 64}, {**record, "sources": None}):
        reason = _library._obstacle("cpu", library, changed)
        assert reason.startswith("built from other sources; run python -m pip install")
    with open(sources / "ops" / "adamw.h", "a") as file:
        file.write("// changed\n")
    assert "built from other sources" in _library._obstacle("cpu", library, record)
    shutil.copy(PACKAGE.parent / "csrc" / "ops" / "adamw.h", sources / "ops")
    assert _library._obstacle("cpu", library, record) == ""
    with open(tmp_path / "CMakeLists.txt", "a") as file:
        file.write("# other flags give another library\n")
    assert "built from other sources" in _library._obstacle("cpu", library, record)
    shutil.rmtree(sources)  # an installed package has none to compare with
    assert _library._obstacle("cpu", library, record) == ""


@needs_sources
def test_only_what_is_compiled_counts_as_source(tmp_path):
    """Names and contents of C++, CUDA and CMake files, not notes or what an editor leaves."""
    sources = checkout(tmp_path)
    digest = _library.sources_digest(sources)
    (sources / "README.md").write_text("other words")
    (sources / "ops" / ".adamw.h.swp").touch()
    assert _library.sources_digest(sources) == digest
    (sources / "ops" / "adamw.h").rename(sources / "ops" / "adamv.h")
    assert _library.sources_digest(sources) != digest


@needs_sources
def test_the_build_computes_the_same_digest():
    """setup.py, which must not import the package, has the function once more."""
    namespace = {"hashlib": hashlib, "Path": Path}
    tree = ast.parse((PACKAGE.parent / "setup.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "sources_digest":
            exec(compile(ast.Module([node], []), "setup.py", "exec"), namespace)
    sources = PACKAGE.parent / "csrc"
    assert namespace["sources_digest"](sources) == _library.sources_digest(sources)


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
    environment = {**os.environ, "PYTHONPATH": str(folder), "DLPLUG_LIBRARIES": ""}
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
def test_another_folder_of_libraries(tmp_path):
    """DLPLUG_LIBRARIES names it; one without a library that fits is an error, not a fall back."""
    native = tmp_path / "libraries"
    shutil.copytree(_library.NATIVE, native)
    code = "from dlplug import ops; print(open('/proc/self/maps').read())"
    command = [sys.executable, "-c", code]
    environment = os.environ | {"DLPLUG_LIBRARIES": str(native)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert f"{native}/libdlplug_cpu.so" in done.stdout, done.stderr
    assert str(_library.NATIVE) not in done.stdout
    (native / "libdlplug_cpu.so").unlink()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert f"no CPU library can be opened in '{native}': library missing" in done.stderr
    assert "environment variable DLPLUG_LIBRARIES" in done.stderr


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
