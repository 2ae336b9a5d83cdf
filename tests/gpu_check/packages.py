"""Packages that the machine lacks and cannot fetch: pure-Python wheels that came with the checkout.

``python -m tests.gpu_check.packages FOLDER`` fetches them, on a machine that can, and builds the
wheel of dlplug with its CPU kernels, which is to be tried under the machine's PyTorch.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What dlplug needs and an image with PyTorch and Lightning may lack, with what these need.
NAMES = ("jsonargparse", "docstring-parser", "typeshed-client", "torchdata")


def search_path(wheels: Path, folder: Path) -> str:
    """PYTHONPATH with the checkout and the wheels, which are unpacked into ``folder``.

    A wheel of pure Python can be imported from where it is unpacked; nothing is installed into the
    Python of the machine.
    """
    # Not dlplug's own: the checkout is what is checked.
    found = sorted(path for path in wheels.glob("*.whl") if not path.name.startswith("dlplug-"))
    site = folder / "site"
    if found and not site.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
        subprocess.run([*pip, "--target", str(site), *map(str, found)], check=True)
    paths = [str(ROOT), *([str(site)] if found else []), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, paths))


def fetch(wheels: Path) -> None:
    """Download the wheels, in the versions of ``constraints.txt``."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *constraints, "-d", str(wheels), *NAMES], check=True)


def build(wheels: Path) -> None:
    """The wheel of this checkout, in place of those of others."""
    for old in wheels.glob("dlplug-*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps"]
    settings = {"DLPLUG_NATIVE": "1", "DLPLUG_CUDA": "0"}
    subprocess.run([*pip, "-w", str(wheels), str(ROOT)], env=os.environ | settings, check=True)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
    build(Path(sys.argv[1]))
