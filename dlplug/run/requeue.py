"""Let SLURM start a job again."""

import os
import subprocess
import sys


def requeue_job() -> None:
    """Put the job of this process back into SLURM's queue, under the number that it has.

    Where that fails, a line on standard error says so: what was trained is saved all the same.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"SLURM does not take job {job} back into its queue: {error}", file=sys.stderr)
