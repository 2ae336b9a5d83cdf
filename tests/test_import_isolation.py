"""What an import brings along, asked of a fresh interpreter."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "pytorch_lightning", "pluggy", "jsonargparse", "matplotlib", "rich")


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
