"""What importing a distribution's modules costs, measured in a fresh interpreter."""

import json
import subprocess
import sys
from functools import lru_cache

from dlplug.config.kinds import TRAITS
from dlplug.plugin import Registry
from dlplug.plugin.component import HOOKS_KIND
from dlplug.plugin.names import one_line
from dlplug.testing.rule import Broken

BUDGET = 2.0
"""Seconds of processor time for one component's module; generous, since it is paid by each run."""

# The libraries that each training imports anyway come first. Counting processor time leaves out
# what other programs do meanwhile.
SCRIPT = """
import importlib, json, sys, time
given = json.load(sys.stdin)
sys.path[:] = given["path"]
import dlplug, torch, lightning.pytorch, torchmetrics, jsonargparse
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
print(given["mark"] + json.dumps(report), file=sys.__stdout__)
"""
MARK = "dlplug-import-report: "
"""Before the answer, since modules may print, too."""


@lru_cache(maxsize=1)
def import_report(registry: Registry, distribution: str) -> dict[str, dict]:
    """What importing each target's module costs, and the questions for a GPU that it asks.

    What is disabled, or cannot be used for another reason, is not imported.

    Modules are imported one after the other in one interpreter, so that what two of them share is
    counted for the first.

    Returns:
        By target: ``seconds`` of processor time, ``asked`` the functions of torch.cuda that were
        called, and ``error``, None where the import succeeded.
    Raises:
        Broken: a module has ended the interpreter.
    """
    entries = registry.entries()
    entries = [e for e in entries if e.distribution == distribution and not e.refuses]
    # Presets are files, and renames only names.
    targets = [e.target for e in entries if e.kind in (*TRAITS, HOOKS_KIND, "commands")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps({"path": sys.path, "targets": targets, "mark": MARK}),
        capture_output=True,
        text=True,
    )
    return read_report(done)


def read_report(done: subprocess.CompletedProcess[str]) -> dict[str, dict]:
    """The answer of the fresh interpreter.

    Raises:
        Broken: a module has ended it.
    """
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    last = one_line((done.stderr.splitlines() or ["it said nothing"])[-1])
    raise Broken(f"a fresh interpreter that imports it ends with code {done.returncode}: {last}")


# Asked for every kind, as listing asks.
NAMES_SCRIPT = """
import json, sys
given = json.load(sys.stdin)
sys.path[:] = given["path"]
from dlplug.plugin import KINDS
from dlplug.plugin.targets import import_target
import dlplug.plugin.registry
before = set(sys.modules)
module = import_target(given["target"])
for kind in KINDS:
    list(module.dlplug_components(kind) or ())
tops = {name.partition(".")[0] for name in sys.modules.keys() - before}
own = {given["target"].partition(":")[0].partition(".")[0], "dlplug"}
print(json.dumps(sorted(tops - own - sys.stdlib_module_names)), file=sys.__stdout__)
"""


def libraries_behind(target: str) -> list[str]:
    """Packages that a module of hooks imports for its names, besides Python's and its own.

    Args:
        target: Of its entry point.
    """
    done = subprocess.run(
        [sys.executable, "-c", NAMES_SCRIPT],
        input=json.dumps({"path": sys.path, "target": target}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
