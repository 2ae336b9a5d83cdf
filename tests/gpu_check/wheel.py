"""``python -m tests.gpu_check.wheel WHEEL``: a wheel's CPU kernels under the PyTorch that is here.

The wheel was built with the headers of another PyTorch: one binary has to load in all of them.
It must come from the kernels' sources of this checkout.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "csrc"
CODE = """
import sys
from pathlib import Path
import torch
import dlplug
from dlplug import ops
from dlplug.ops import _library
assert Path(dlplug.__file__).is_relative_to(sys.argv[1]), dlplug.__file__
digest = _library.sources_digest(Path(sys.argv[2]))
assert _library.build_info()["sources"] == digest, "the wheel was built from other sources"
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
        command = [sys.executable, "-c", path + CODE, folder, str(SOURCES)]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
