"""``python -m tests.gpu_check.train FOLDER``: the kernels in trainings, beside the reference's.

The same config and seed by ``DLPLUG_BACKEND=cuda`` and ``reference``, in each precision: losses of
the first epoch, in which roundings have not yet grown, must agree, and the last must have fallen.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

CONFIG, ROOT = Path(__file__).with_name("digits.yaml"), Path(__file__).parents[2]
# Largest relative difference of the first epoch's loss, some 20 steps: roundings of the dtype.
TOLERANCE = {"32-true": 1e-3, "bf16-mixed": 2e-2, "16-mixed": 1e-2, "bf16-true": 5e-2}


def main(folder: str, accelerator: str = "gpu", backend: str = "cuda") -> int:
    """Train; 1 where a pair differs or does not learn."""
    is_good = True
    for precision, tolerance in TOLERANCE.items():
        if accelerator == "cpu" and precision == "16-mixed":
            continue  # Lightning has none there
        where = Path(folder) / precision
        ours, reference = (
            losses(where / name, precision, accelerator, name) for name in (backend, "reference")
        )
        difference = abs(ours[0] - reference[0]) / reference[0]
        has_learned = ours[-1] < 0.7 * ours[0]
        is_good &= difference <= tolerance and has_learned
        print(
            f"{precision}: loss {ours[0]:.4f} to {ours[-1]:.4f}, the reference's"
            f" {reference[0]:.4f} to {reference[-1]:.4f}; apart by {difference:.1e}",
            flush=True,
        )
    return 0 if is_good else 1


def losses(
    folder: Path, precision: str, accelerator: str, backend: str, *words: str
) -> list[float]:
    """Of each epoch; ``words`` are more options of ``fit``."""
    command = [sys.executable, "-m", "dlplug", "fit", "--config", str(CONFIG), "--name", "check"]
    command += ["--trainer.precision", precision, "--trainer.accelerator", accelerator, *words]
    folder.mkdir(parents=True, exist_ok=True)
    # Before what the check itself has put there.
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    settings = {"DLPLUG_BACKEND": backend, "PYTHONPATH": paths}
    subprocess.run(command, cwd=folder, env=os.environ | settings, check=True)
    newest = max((folder / "runs" / "check").glob("[0-9]*"), key=lambda path: int(path.name))
    rows = map(json.loads, (newest / "metrics.jsonl").read_text().splitlines())
    return [row["train_loss"] for row in rows if "train_loss" in row]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
