"""What importing a distribution's modules costs, measured in a fresh interpreter."""

import json
import subprocess
import sys
from functools import lru_cache

from dlplug.config.kinds import TRAITS
from dlplug.plugin import Registry
from dlplug.plugin.component import HOOKS_KIND

BUDGET = 2.0
"""Seconds of processor time for one component's module; generous, since it is paid by each run."""

# The libraries that each training imports anyway come first. Counting processor time leaves out
# what other programs do meanwhile.
SCRIPT = """
import importlib, json, sys, time
given = json.load(sys.stdin)
sys.path[:] = given["path"]
import torch, lightning.pytorch, torchmetrics, jsonargparse
import dlplug.config.experiment, dlplug.run.verbs
asked = []
def watched(name):
    original = getattr(torch.cuda, name)
    def call(*arguments, **keywords):
        asked.append(f"torch.cuda.{name.lstrip('_')}")
        return original(*arguments, **keywords)
    setattr(torch.cuda, name, call)
for name in ("is_available", "device_count", "init", "_lazy_init", "current_device"):
    watched(name)
report = {}
for target in given["targets"]:
    asked.clear()
    begin = time.process_time()
    try:
        importlib.import_module(target.partition(":")[0])
        error = None
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
    seconds = time.process_time() - begin
    report[target] = {"seconds": seconds, "asked": sorted(set(asked)), "error": error}
print(json.dumps(report), file=sys.__stdout__)
"""


@lru_cache(maxsize=1)
def import_report(registry: Registry, distribution: str) -> dict[str, dict]:
    """What importing each target's module costs, and the questions for a GPU that it asks.

    Modules are imported one after the other in one interpreter, so that what two of them share is
    counted for the first.

    Returns:
        By target: ``seconds`` of processor time, ``asked`` the functions of torch.cuda that were
        called, and ``error``, None where the import succeeded.
    """
    entries = [e for e in registry.entries() if e.distribution == distribution]
    # Presets are files, and renames only names.
    targets = [e.target for e in entries if e.kind in (*TRAITS, HOOKS_KIND, "commands")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps({"path": sys.path, "targets": targets}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
