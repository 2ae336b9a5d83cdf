"""What an import brings along, asked of a fresh interpreter."""

import json
import re
import subprocess
import sys
from importlib.metadata import requires

import pytest

HEAVY = ("torch", "lightning", "pytorch_lightning", "pluggy", "jsonargparse", "matplotlib", "rich")
DEPENDENCIES = (
    "lightning", "torchmetrics", "torchdata", "pluggy", "jsonargparse", "yaml", "rich", "numpy"
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter holds after running ``code``."""
    probe = (
        f"{code}\nimport sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import dlplug", set()),
        ("import dlplug.errors", set()),
        ("from dlplug import hookimpl", {"pluggy"}),
        ("import dlplug.plugin", {"pluggy"}),
        ("import dlplug.ops", {"torch"}),
        ("import dlplug.nn", {"torch"}),
        ("import dlplug.optim", {"torch"}),
        ("from dlplug import ops, nn, optim", {"torch"}),
        ("import dlplug.architectures.vit, dlplug.architectures.mlp", {"torch"}),
        ("import dlplug.losses.focal, dlplug.losses.cross_entropy", {"torch"}),
        ("import dlplug.cli", set()),
    ],
)
def test_an_import_loads_no_more_than_it_needs(code, allowed):
    """A kernel user loads no Lightning and no pluggy; a plugin author loads no torch."""
    assert loaded_by(code) <= allowed


def test_the_probe_can_fail():
    """The probe sees a heavy library when one is loaded."""
    assert loaded_by("import dlplug.ops, pluggy") == {"torch", "pluggy"}


def test_ops_work_beside_torch_alone():
    """Without any other dependency, as after ``pip install --no-deps``: forward, backward, step."""
    code = """
import sys
for name in ABSENT:
    sys.modules[name] = None
import torch
from dlplug.nn import LayerNorm
from dlplug.ops import accelerate, attention, explain
from dlplug.optim import CompactAdamW, FusedAdamW
x = torch.ones(1, 2, 4, 8, requires_grad=True)
attention(x, x, x, is_causal=True).sum().backward()
explain(attention, x, x, x)
layer = LayerNorm(8)
for optimizer in (FusedAdamW(layer.parameters()), CompactAdamW(layer.parameters())):
    layer(x).square().sum().backward()
    optimizer.step()
accelerate(torch.nn.Sequential(torch.nn.LayerNorm(8)))
print([name for name in ABSENT if sys.modules[name] is not None])
"""
    code = f"ABSENT = {DEPENDENCIES!r}\n{code}"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True)
    assert (done.returncode, done.stdout.decode().strip()) == (0, "[]"), done.stderr.decode()


def test_the_absent_are_all_that_dlplug_depends_on():
    """But torch; by the names under which they are imported."""
    imported = {"PyYAML": "yaml"}
    names = [re.match(r"[\w-]+", line)[0] for line in requires("dlplug") if "extra ==" not in line]
    assert {imported.get(name, name) for name in names} == {"torch", *DEPENDENCIES}
