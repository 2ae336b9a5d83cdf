"""The results of all parts as one JSON file and one page."""

import json
import shutil
from pathlib import Path
from typing import Any

from dlplug.run.environment import hardware, surroundings
from tests.gpu_check.state import driver

Results = dict[str, dict[str, Any]]


def write(folder: Path, name: str, results: Results, records: Path) -> None:
    """``gpu-check-NAME.json`` and ``.md`` in ``folder``, and the times from ``records``."""
    machine = surroundings() | {"gpus": hardware()["gpus"], "driver": driver()}
    record = {"kind": "gpu_check", **machine, "parts": results}
    (folder / f"gpu-check-{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / f"gpu-check-{name}.md").write_text(markdown(results))
    if (times := records / f"ops-{name}.json").exists():
        shutil.copy(times, folder)


def markdown(results: Results) -> str:
    """A table, then the last lines of what failed."""
    lines = ["| part | status | seconds | |", "|---|---|---|---|"]
    for name, result in results.items():
        cells = (name, result["status"], f"{result['seconds']:.0f}", result["detail"])
        lines.append(f"| {' | '.join(cells)} |")
    for name, result in results.items():
        if result["status"] == "failed":
            lines += ["", f"{name}:", "```", result.get("output", "").rstrip(), "```"]
    return "\n".join(lines) + "\n"
