"""``python -m tests.gpu_check.build``: both libraries for this machine's GPU, all kernels.

``--look`` builds nothing and only tells whether they are there.
"""

import os
import subprocess
import sys

import torch

from tests.gpu_check.tools import tool


def architecture() -> str:
    """Of the GPU, as CMake names it; from Hopper on with the instructions of that one alone."""
    major, minor = torch.cuda.get_device_capability()
    return f"{major}{minor}{'a' if major >= 9 else ''}-real"


def main(word: str = "") -> int:
    """Build unless all is there, then look; 1 where an op has no kernel for this GPU."""
    if word == "--look":
        return look()
    # In a process of its own: a library that is open cannot be replaced.
    looking = [sys.executable, "-m", "tests.gpu_check.build", "--look"]
    if subprocess.run(looking).returncode == 0:
        return 0
    settings = {"DLPLUG_NATIVE": "1", "DLPLUG_CUDA": "1", "CUDACXX": tool("nvcc")}
    settings["DLPLUG_CUDA_ARCHITECTURES"] = architecture()
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, env=os.environ | settings, check=True)
    return subprocess.run(looking).returncode


def look() -> int:
    """Say what is lacking; 1 if something is."""
    from dlplug import ops
    from dlplug.ops import _library

    rows = ops.backends()
    absent = [row for row in rows if row["backend"] != "native"]
    for row in absent:
        print(f"{row['op']} has no kernel on {row['device']}: {row['reason']}")
    built = _library.build_info().get("cuda_architectures")
    print(f"{len(rows) - len(absent)} of {len(rows)} kernels, for {built}", flush=True)
    return int(bool(absent) or built != architecture())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
