"""``python -m tests.gpu_check.build``: both libraries for this machine's GPU, all kernels."""

import os
import subprocess
import sys

import torch


def architecture() -> str:
    """Of the GPU, as CMake names it; from Hopper on with the instructions of that one alone."""
    major, minor = torch.cuda.get_device_capability()
    return f"{major}{minor}{'a' if major >= 9 else ''}-real"


def main() -> int:
    """Build, then look; 1 where an op has no kernel."""
    settings = {"DLPLUG_NATIVE": "1", "DLPLUG_CUDA": "1"}
    settings["DLPLUG_CUDA_ARCHITECTURES"] = architecture()
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, env=os.environ | settings, check=True)
    from dlplug import ops  # only now: it loads what was built

    rows = ops.backends()
    absent = [row for row in rows if row["backend"] != "native"]
    for row in absent:
        print(f"{row['op']} has no kernel on {row['device']}: {row['reason']}")
    print(f"{len(rows) - len(absent)} of {len(rows)} kernels, for {architecture()}")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
