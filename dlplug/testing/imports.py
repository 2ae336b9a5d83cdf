"""What importing a distribution's modules costs, measured in a fresh interpreter."""

import json
import subprocess
import sys
from functools import lru_cache
from typing import Any

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
def tell(report):
    # A module may have printed the beginning of a line, and the next may end the interpreter.
    print("\\n" + given["mark"] + json.dumps(report), file=sys.__stdout__, flush=True)
tell({})
for target in given["targets"]:
    asked.clear()
    begin = time.process_time()
    try:
        importlib.import_module(target.partition(":")[0])
        error = None
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
    seconds = time.process_time() - begin
    tell({target: {"seconds": seconds, "asked": sorted(set(asked)), "error": error}})
"""
MARK = "dlplug-import-report: "
"""Before the answer, since modules may print, too."""


@lru_cache(maxsize=1)
def import_report(registry: Registry, distribution: str) -> dict[str, dict]:
    """What importing each target's module costs, and the questions for a GPU that it asks.

    What is disabled, or cannot be used for another reason, is not imported.

    Modules are imported one after the other in one interpreter, so that what two of them share is
    counted for the first. Where one ends the interpreter, the rest is imported in another.

    Returns:
        By target: ``seconds`` of processor time, ``asked`` the functions of torch.cuda that were
        called, and ``error``, None where the import succeeded.
    Raises:
        Broken: not even dlplug can be imported there.
    """
    entries = registry.entries()
    entries = [e for e in entries if e.distribution == distribution and not e.refuses]
    # Presets are files, and renames only names.
    kinds = (*TRAITS, HOOKS_KIND, "commands")
    targets = list(dict.fromkeys(e.target for e in entries if e.kind in kinds))
    report: dict[str, dict] = {}
    while rest := [target for target in targets if target not in report]:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input=json.dumps({"path": sys.path, "targets": rest, "mark": MARK}),
            capture_output=True,
            text=True,
        )
        report |= read_report(done)
        if lost := [target for target in rest if target not in report]:
            error = f"it ends the interpreter with code {done.returncode}: {_last_line(done)}"
            report[lost[0]] = {"seconds": 0.0, "asked": [], "error": error}
    return report


def read_report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The answer of the fresh interpreter, of all lines that hold a part of it.

    Raises:
        Broken: it has ended before the first.
    """
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not lines:
        raise Broken(
            f"a fresh interpreter that imports it ends with code {done.returncode}:"
            f" {_last_line(done)}"
        )
    parts = [json.loads(line.removeprefix(MARK)) for line in lines]
    return {key: value for part in parts for key, value in part.items()}


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return one_line((done.stderr.splitlines() or ["it said nothing"])[-1])


# Asked for every kind, and in the same way, as listing asks.
NAMES_SCRIPT = """
import json, sys
given = json.load(sys.stdin)
sys.path[:] = given["path"]
from dlplug.plugin import KINDS
from dlplug.plugin.failure import cause_of
from dlplug.plugin.manager import Manager
from dlplug.plugin.targets import import_target
import dlplug.plugin.registry
before = set(sys.modules)
manager, errors = Manager(), []
def note(name, hook, error):
    errors.append(f"{hook} raised {cause_of(error)}")
try:
    manager.add(import_target(given["target"]), "asked")
    for kind in KINDS:
        for _, names in manager.call("dlplug_components", note, kind=kind):
            list(names)
except BaseException as error:
    errors.append(cause_of(error))
tops = {name.partition(".")[0] for name in sys.modules.keys() - before}
own = {given["target"].partition(":")[0].partition(".")[0], "dlplug"}
libraries = sorted(tops - own - sys.stdlib_module_names)
report = {"libraries": libraries, "errors": errors}
print("\\n" + given["mark"] + json.dumps(report), file=sys.__stdout__)
"""


def libraries_behind(target: str) -> list[str]:
    """Packages that a module of hooks imports for its names, besides Python's and its own.

    Args:
        target: Of its entry point.
    Raises:
        Broken: it fails when it is asked for them, or ends the interpreter.
    """
    done = subprocess.run(
        [sys.executable, "-c", NAMES_SCRIPT],
        input=json.dumps({"path": sys.path, "target": target, "mark": MARK}),
        capture_output=True,
        text=True,
    )
    report = read_report(done)
    if report["errors"]:
        raise Broken(f"in a fresh interpreter it fails: {report['errors'][0]}")
    return report["libraries"]
