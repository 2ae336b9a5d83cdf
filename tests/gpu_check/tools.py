"""Programs of the CUDA toolkit, which need not be on PATH."""

import os
import shutil
from pathlib import Path

USUAL = "/usr/local/cuda/bin"


def tool(name: str) -> str:
    """Where a program is: on PATH, beside nvcc, or where CUDA is usually installed.

    Raises:
        FileNotFoundError: Nowhere of these.
    """
    nvcc = shutil.which("nvcc")
    beside = str(Path(nvcc).resolve().parent) if nvcc else USUAL
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), beside, USUAL)))
    if found is None:
        raise FileNotFoundError(f"{name} was not found: not on PATH, beside nvcc or in {USUAL}")
    return found
