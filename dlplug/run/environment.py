"""Where a run took place: env.json."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("dlplug", "torch", "lightning", "torchmetrics", "torchdata", "pluggy", "numpy")


def environment(seed: int, data: Any) -> dict[str, Any]:
    """Everything about the surroundings that can change a result, as plain data.

    Args:
        seed: Of the training.
        data: The data module; its ``fingerprint()`` is recorded when it has one, and its
            ``split_seed``.
    """
    from dlplug.run.trained_data import fingerprint_of  # imports Lightning, unlike all else here

    return {
        "seeds": {"training": seed, "split": getattr(data, "split_seed", None)},
        "command": sys.argv,
        "git": git_state(),
        "hardware": hardware(),
        "libraries": libraries(),
        "data": fingerprint_of(data),
    }


def hardware() -> dict[str, Any]:
    """Processor, threads and GPUs of this machine, as plain data."""
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def libraries() -> dict[str, str]:
    """Versions of Python and of the libraries that dlplug stands on; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def surroundings() -> dict[str, Any]:
    """Machine, versions, commit and day: what every recorded result says of where it comes from."""
    state = git_state()
    commit = "no commit" if state is None else state["commit"][:10]
    return {
        "processor": processor(),
        "cpus": os.cpu_count(),
        **libraries(),
        "commit": f"{commit} with changes" if state and state["changed"] else commit,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def processor() -> str:
    """Its name, as Linux tells it, or what Python knows of it elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def git_state() -> dict[str, Any] | None:
    """Commit of the working folder and whether files differ from it; None outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "changed": bool(_git("status", "--porcelain"))}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
