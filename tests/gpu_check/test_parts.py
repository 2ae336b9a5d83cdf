"""The list of parts."""

import ast
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dlplug.errors import BackendError
from tests.gpu_check import parts
from tests.gpu_check.parts import PARTS, gpu_modules

ROOT = Path(__file__).parents[2]
NAMED = {part.name: part for part in PARTS}
# What some tests import and an image with PyTorch lacks.
LACKING = (
    "jsonschema",
    "kornia",
    "datasets",
    "jsonargparse",
    "mlxtend",
    "sktime",
    "xdist",
    "hypothesis",
)


def test_names_are_unique():
    """Each leaves a file of its name."""
    assert len(NAMED) == len(PARTS)


def test_only_the_wheel_can_do_without_the_kernels():
    """All else would fall back to PyTorch, and pass."""
    alone = {part.name for part in PARTS if part.needs != parts.BUILD}
    assert alone == {"build", "wheel"}
    assert [part.name for part in PARTS if part.is_repeated] == ["build"]


def test_the_modules_for_a_gpu_are_those_that_carry_the_mark():
    """Every one that speaks of it, and no other."""

    def is_marked(path):
        text = path.read_text()
        nodes = ast.walk(ast.parse(text)) if "gpu" in text else ()
        return any(
            (isinstance(node, ast.Name) and node.id == "needs_gpu")
            or (isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.gpu")
            for node in nodes
        )

    found = filter(is_marked, (ROOT / "tests").rglob("test_*.py"))
    assert gpu_modules(ROOT) == sorted(str(path.relative_to(ROOT)) for path in found)
    assert len(gpu_modules(ROOT)) >= 4


@pytest.mark.slow
def test_they_are_collected_without_what_other_tests_need(context):
    """With the part's own command and environment."""
    part = NAMED["tests"]
    command = part.command(context)
    words = [*command[3:], *gpu_modules(ROOT), "--collect-only"]
    code = f"import sys\nfor name in {LACKING!r}: sys.modules[name] = None\n"
    code += "import pytest\nsys.exit(pytest.main(sys.argv[1:]))"
    settings = dict(part.environment) | {"DLPLUG_REQUIRE_GPU": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(module in done.stdout for module in gpu_modules(ROOT))


def test_on_its_machine_a_test_without_a_gpu_is_an_error(monkeypatch):
    """Elsewhere it is skipped; the part that proves the kernels must not pass by that."""
    assert NAMED["tests"].environment["DLPLUG_REQUIRE_GPU"] == "1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = str(ROOT / "tests" / "ops" / "gpu.py")
    (_, skip) = runpy.run_path(path)["needs_gpu"]
    assert skip.args == (True,)
    monkeypatch.setenv("DLPLUG_REQUIRE_GPU", "1")
    with pytest.raises(BackendError, match="the tests marked gpu cannot run: no NVIDIA GPU"):
        runpy.run_path(path)


def test_a_wheel_that_was_not_carried_is_a_failure(context):
    """Nothing was proven by it."""
    result = NAMED["wheel"].run(context)
    assert result["status"] == "failed" and "make gpu-wheels builds it" in result["detail"]
    context.wheels.mkdir()
    (context.wheels / "dlplug-0.1.0-py310-none-linux_x86_64.whl").touch()
    assert NAMED["wheel"].command(context)[-1].endswith("x86_64.whl")


def test_tools_are_found_beside_the_compiler(context, monkeypatch, tmp_path):
    """The compiler alone may be on PATH; without the tool the part fails and says so."""
    sanitize = NAMED["sanitize-memcheck"]
    for name in ("nvcc", "compute-sanitizer"):
        (tmp_path / "cuda" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "cuda" / name).touch(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").symlink_to(tmp_path / "cuda" / "nvcc")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert sanitize.command(context)[0] == str(tmp_path / "cuda" / "compute-sanitizer")
    (tmp_path / "cuda" / "compute-sanitizer").unlink()
    monkeypatch.setattr("tests.gpu_check.tools.USUAL", str(tmp_path))
    result = sanitize.run(context)
    assert result["status"] == "failed"
    assert result["detail"].startswith("compute-sanitizer was not found")
