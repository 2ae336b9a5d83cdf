"""A torchvision whose compiled ops cannot be loaded breaks nothing that does not need them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What torchvision does on import: it registers what two of its ops return without data.
TORCHVISION = """
import torch

for name in ("nms", "qnms"):
    @torch.library.register_fake(f"torchvision::{name}")
    def fake(dets, scores, iou_threshold):
        return dets.new_empty(0, dtype=torch.long)

__version__ = "0.28.0"
"""
BROKEN = "operator torchvision::nms does not exist"


@pytest.fixture
def run(tmp_path):
    """Run code in a fresh interpreter that has such a torchvision; what it wrote."""
    folder = tmp_path / "torchvision"
    folder.mkdir()
    (folder / "__init__.py").write_text(TORCHVISION)
    (folder / "_C.so").write_bytes(b"built for another torch")

    def run(code, *, is_right=True):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "HOME": str(tmp_path)},
        )
        assert (done.returncode == 0) is is_right, done.stderr
        return done.stdout + done.stderr

    return run


def test_the_broken_import_is_real(run):
    """Without the guard the package cannot be imported; the other tests would prove nothing."""
    assert BROKEN in run("import torchvision", is_right=False)


def test_it_can_be_imported_all_the_same(run):
    """Said once, with what does not work, why, and what to do."""
    told = run("import dlplug, torchvision; import torchvision; print('done')")
    assert told.startswith("done") and told.count("torchvision does not fit torch") == 1
    assert "nms, roi_align, reading image files" in told and "_C.so: " in told


def test_the_ops_are_named_and_do_nothing(run):
    """A call is an error and no wrong answer."""
    told = run(
        "import dlplug, torchvision, torch\n"
        "try: torch.ops.torchvision.nms(torch.rand(2, 4), torch.rand(2), 0.5)\n"
        "except NotImplementedError as error: print('refused:', error)"
    )
    assert told.count("refused: Could not run 'torchvision::nms'") == 1


def test_ops_that_are_there_are_left_alone(run):
    """Nothing is defined, and nothing said."""
    told = run(
        "import dlplug, torch\n"
        "library = torch.library.Library('torchvision', 'DEF')\n"
        "for name in ('nms', 'qnms'):\n"
        "    library.define(f'{name}(Tensor a, Tensor b, float c) -> Tensor')\n"
        "library.impl('nms', lambda a, b, c: a + 1, 'CPU')\n"
        "import torchvision\n"
        "print(torch.ops.torchvision.nms(torch.zeros(1), torch.zeros(1), 0.5))"
    )
    assert told == "tensor([1.])\n"


def test_a_probe_for_torchvision_imports_nothing(run):
    """Whether it is installed can be asked without torch."""
    code = (
        "import sys, dlplug\nfrom importlib.util import find_spec\n"
        "print(find_spec('torchvision').name, 'torch' in sys.modules, len(dlplug.__name__))"
    )
    assert run(code) == "torchvision False 6\n"


def test_without_torchvision_nothing_changes():
    """Its absence is told as ever."""
    code = "import dlplug\ntry: import torchvision\nexcept ModuleNotFoundError as e: print(e)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stdout == "No module named 'torchvision'\n", done.stderr
