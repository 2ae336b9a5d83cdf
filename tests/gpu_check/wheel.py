"""``python -m tests.gpu_check.wheel WHEEL``: a wheel's CPU kernels under the PyTorch that is here.

The wheel was built with the headers of another PyTorch: one binary has to load in all of them.
"""

import subprocess
import sys
import tempfile
import zipfile

CODE = """
import sys
from pathlib import Path
import torch
import dlplug
from dlplug import ops
assert Path(dlplug.__file__).is_relative_to(sys.argv[1]), dlplug.__file__
rows = [row for row in ops.backends() if row["device"] == "cpu"]
absent = [row for row in rows if row["backend"] != "native"]
assert rows and not absent, absent
from tests.gpu_check.small_calls import main
main("cpu")
print(f"{len(rows)} ops by the wheel's kernels under torch {torch.__version__}")
"""


def main(wheel: str) -> int:
    """Unpack the wheel, and call every op of it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        # The checkout comes last: it has the calls, the wheel has the package.
        path = f"import sys; sys.path[:0] = [{folder!r}]\n"
        command = [sys.executable, "-c", path + CODE, folder]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
