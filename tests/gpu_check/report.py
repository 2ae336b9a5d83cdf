"""The results of all parts and the measured rows as one JSON file and one page."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from dlplug.run.environment import hardware, surroundings
from tests.bench import ops_record

Results = dict[str, dict[str, Any]]
OUTPUT_SHOWN = 3000  # characters; the JSON file has more


def write(folder: Path, name: str, sources: str, results: Results) -> None:
    """``gpu-check-NAME.json`` and ``.md``, with the rows that ``ops-NAME.json`` beside them has."""
    machine = surroundings() | {"gpus": hardware()["gpus"], "driver": driver()}
    record = {"kind": "gpu_check", **machine, "sources": sources, "parts": results}
    page = markdown(results)
    times = folder / f"ops-{name}.json"
    if times.exists():
        found = json.loads(times.read_text())
        record["rows"] = found["rows"]
        page += f"\n{ops_record.section(found)}"
    (folder / f"gpu-check-{name}.md").write_text(page)
    # Whole or not at all: the check goes on with it.
    whole = folder / f"gpu-check-{name}.json"
    part = whole.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(whole)


def copy(folder: Path, name: str, to: Path) -> None:
    """The files of a check, elsewhere: three, whatever else it left in its folder."""
    for path in (f"gpu-check-{name}.json", f"gpu-check-{name}.md", f"ops-{name}.json"):
        if (folder / path).exists():
            shutil.copy(folder / path, to)


def markdown(results: Results) -> str:
    """A table, then the last lines of what failed."""
    lines = ["| part | status | seconds | |", "|---|---|---|---|"]
    for name, result in results.items():
        cells = (name, result["status"], f"{result['seconds']:.0f}", result["detail"])
        lines.append(f"| {' | '.join(cells)} |")
    for name, result in results.items():
        if result["status"] == "failed":
            shown = result["output"][-OUTPUT_SHOWN:].rstrip()
            lines += ["", f"{name}:", "```", shown, "```"]
    return "\n".join(lines) + "\n"


def driver() -> str:
    """Name and driver of each GPU, as ``nvidia-smi`` tells them; empty without it."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
