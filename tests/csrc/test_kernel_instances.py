"""How often attention's CUDA kernels are compiled for each architecture."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.ops.emulation import build, needs_emulation

README = Path(__file__).parents[2] / "csrc" / "README.md"
MOST = 16

pytestmark = [
    needs_emulation,
    pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm of binutils"),
]


def instances() -> Counter:
    """Kernel -> number of its instances in the sources that the emulation is built from."""
    names = subprocess.run(
        ["nm", "-C", build("dlplug_emulation")], capture_output=True, text=True, check=True
    ).stdout
    kernel = r" [tTwW] void dlplug::(attention_\w+)<[^()]*>"
    arguments = r"\(dlplug::(?:Attention|Hopper)\w+(?:, int)?\)$"
    return Counter(re.findall(kernel + arguments, names, re.MULTILINE))


def test_each_kernel_is_compiled_as_often_as_told():
    """By type and width alone; what a call asks for besides is looked at as the kernel runs."""
    rows = re.findall(r"^\| `(attention_\w+)` \| (\d+) \|", README.read_text(), re.MULTILINE)
    assert instances() == {name: int(count) for name, count in rows}
    assert max(int(count) for _, count in rows) <= MOST
