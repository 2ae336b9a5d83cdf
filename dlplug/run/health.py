"""The state of an installation: versions, machine, op backends, plugins. What `doctor` shows."""

from typing import Any

from dlplug import ops
from dlplug.ops._library import STATUS, build_info
from dlplug.plugin import Registry, Status
from dlplug.run.environment import hardware, libraries


def examine(registry: Registry) -> dict[str, Any]:
    """Look at everything that a run stands on; plugins' hooks are loaded and asked.

    Args:
        registry: As discovered.
    Returns:
        Plain data with the keys ``libraries``, ``hardware``, ``native``, ``ops``, ``plugins``,
        ``checks`` and ``problems``; each problem is one line.
    """
    registry.load_hooks()
    checks = [
        {"plugin": plugin, "check": name, "passed": bool(passed), "detail": detail}
        for plugin, rows in registry.call("dlplug_health")
        for name, passed, detail in rows
    ]
    found = {
        "libraries": libraries(),
        "hardware": hardware() | {"instruction_set": ops.current_isa()},
        "native": [
            {"device": s.device, "loaded": s.is_loaded, "reason": s.reason} for s in STATUS.values()
        ],
        "build": build_info(),
        "ops": ops.backends(),
        "plugins": [
            {
                "name": plugin.name,
                "version": plugin.version,
                "status": str(plugin.status),
                "remembered": plugin.is_remembered,
                "reason": plugin.reason,
                "components": len(plugin.entries),
            }
            for plugin in registry.plugins()
        ],
        "checks": checks,
    }
    return found | {"problems": _problems(found)}


def _problems(found: dict[str, Any]) -> list[str]:
    """What somebody should act on.

    No CUDA where torch has no CUDA is none, nor is a failure of which only an earlier process
    knows: it may be mended by now.
    """
    healthy = {str(Status.AVAILABLE), str(Status.LOADED), str(Status.DISABLED)}
    cpu = next(row for row in found["native"] if row["device"] == "cpu")
    problems = [] if cpu["loaded"] else [f"CPU kernels: {cpu['reason']}"]
    if found["hardware"]["gpus"]:
        cuda = next(row for row in found["native"] if row["device"] == "cuda")
        problems += [] if cuda["loaded"] else [f"CUDA kernels: {cuda['reason']}"]
    problems += [
        f"plugin {row['name']} {row['version']} is {row['status']}: {row['reason']}"
        for row in found["plugins"]
        if row["status"] not in healthy and not row["remembered"]
    ]
    problems += [
        f"{row['plugin']}, {row['check']}: {row['detail']}"
        for row in found["checks"]
        if not row["passed"]
    ]
    return problems
