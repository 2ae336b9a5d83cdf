"""The wheel: built here, installed where there is neither a checkout nor a compiler."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import torch

from tests.ops.norm_properties import needs_kernels

ROOT = Path(__file__).parents[1]
PIP = ["-m", "pip", "--disable-pip-version-check", "-q"]

# Every public op natively, each against its reference; run outside of the checkout.
SCRIPT = """
import torch, dlplug
from dlplug import ops
from dlplug.ops.fallback import adamw
torch.manual_seed(0)
assert dlplug.__file__.startswith(FOLDER), dlplug.__file__
x, r = torch.randn(2, 40, 33), torch.randn(2, 40, 33)
calls = {
    "layer_norm": lambda: ops.layer_norm(x, x[0, 0]),
    "rms_norm": lambda: ops.rms_norm(x, x[0, 0]),
    "add_layer_norm": lambda: ops.add_layer_norm(x, r, x[0, 0]),
    "add_rms_norm": lambda: ops.add_rms_norm(x, r, x[0, 0]),
    "attention": lambda: ops.attention(*torch.randn(3, 2, 4, 20, 16).unbind(), is_causal=True),
    "total_norm": lambda: ops.total_norm([x, r]),
}
for name, call in calls.items():
    results = []
    for backend in ("cpu", "reference"):
        torch.manual_seed(1)
        with ops.use_backend(backend):
            results.append(call())
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
parameter = torch.nn.Parameter(torch.randn(100))
parameter.grad = torch.randn(100)
before = parameter.detach().clone()
with ops.use_backend("cpu"):
    dlplug.optim.FusedAdamW([parameter], lr=0.1).step()
    assert (parameter.detach() - before).abs().max() > 0.05
    small = torch.nn.Parameter(torch.ones(100, dtype=torch.bfloat16))
    small.grad = torch.ones_like(small)
    dlplug.optim.CompactAdamW([small], lr=0.1).step()
    assert (small.detach() - 1).abs().min() > 0.05
native = {row["op"] for row in ops.backends() if row["backend"] == "native"}
assert native == {*calls, "adamw_", "compact_adamw_"}, native
print("all native on", torch.__version__, ops.current_isa())
"""


def try_to_build(folder: Path, **settings: str) -> subprocess.CompletedProcess:
    """The command of `make wheel`, into ``folder``."""
    command = [*PIP, "wheel", "--no-build-isolation", "--no-deps", "-w", str(folder), str(ROOT)]
    environment = {**os.environ, "DLPLUG_CUDA": "0", **settings}
    environment.pop("CXX", None)
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True
    )


def build(folder: Path, **settings: str) -> Path:
    """The wheel that this gives."""
    done = try_to_build(folder, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def reason_in(wheel: Path) -> str:
    """Why a wheel has no CPU kernels."""
    with zipfile.ZipFile(wheel) as content:
        return json.loads(content.read("dlplug/_native/build_info.json"))["reasons"]["cpu"]


def install_torch(python: Path, site: Path) -> None:
    """The very same torch, installed anew; without an index, this environment's is lent."""
    version = torch.__version__.split("+")[0]
    command = [str(python), *PIP, "install", f"torch=={version}", "numpy"]
    if subprocess.run(command, capture_output=True).returncode != 0:
        (site / "lent.pth").write_text(sysconfig.get_path("purelib"))


def test_a_pure_wheel_fits_everywhere(tmp_path):
    """DLPLUG_NATIVE=0 gives py3-none-any with no library but the reason."""
    wheel = build(tmp_path, DLPLUG_NATIVE="0")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as content:
        native = [name for name in content.namelist() if "_native" in name]
    assert native == ["dlplug/_native/build_info.json"]
    assert reason_in(wheel) == "DLPLUG_NATIVE=0"


def test_without_a_compiler_the_wheel_is_pure_and_says_why(tmp_path):
    """Nothing fails, and the record names what is lacking."""
    wheel = build(tmp_path, PATH=str(Path(sys.executable).parent))
    assert wheel.name.endswith("-py3-none-any.whl")
    assert reason_in(wheel) == "no C++ compiler was found (c++, g++, clang++ or $CXX)"


def test_kernels_that_are_demanded_and_impossible_are_an_error(tmp_path):
    """With DLPLUG_NATIVE=1 the same lack ends the build."""
    done = try_to_build(tmp_path, PATH=str(Path(sys.executable).parent), DLPLUG_NATIVE="1")
    assert done.returncode != 0
    what = "DLPLUG_NATIVE=1, but the kernels were not built: no C++ compiler was found"
    assert what in done.stdout + done.stderr


@needs_kernels
@pytest.mark.slow
def test_the_wheel_runs_natively_without_compiler_and_checkout(tmp_path):
    """One wheel for all Pythons from 3.10: it loads in a fresh environment and runs every op."""
    wheel = build(tmp_path / "wheel", DLPLUG_NATIVE="1")
    tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name.endswith(f"-py310-none-{tag}.whl") and "+" not in wheel.name
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert {"dlplug/_native/libdlplug_cpu.so", "dlplug/_native/build_info.json"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "csrc", "build"))]
    modules = {name for name in names if name.endswith(".py")}
    assert modules == {str(path.relative_to(ROOT)) for path in (ROOT / "dlplug").rglob("*.py")}
    templates = {
        str(path.relative_to(ROOT)) for path in ROOT.glob("dlplug/templates/**/*.template")
    }
    assert templates and {"dlplug/dlplug_examples.yaml", *templates} <= set(names)
    configs = {name for name in names if name.startswith("dlplug/configs/")}
    assert configs == {f"dlplug/{path.relative_to(ROOT)}" for path in ROOT.glob("configs/*.yaml")}

    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    site = next((environment / "lib").glob("python*")) / "site-packages"
    install_torch(python, site)
    # -I: metadata of a build, in this folder or on PYTHONPATH, would pass for an installed dlplug.
    install = [str(python), "-I", *PIP, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    bare = {"PATH": str(environment / "bin"), "HOME": str(tmp_path)}
    assert not any(shutil.which(name, path=bare["PATH"]) for name in ("cc", "c++", "g++", "cmake"))
    script = SCRIPT.replace("FOLDER", repr(str(site)))
    done = subprocess.run(
        [str(python), "-c", script], env=bare, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("all native on")
