"""What stands for nothing agrees with torch, and stands in one place."""

import ast
import inspect
from pathlib import Path

import torch.nn.functional as F

import dlplug
from dlplug.data.text.tokenizer import END, MASK, NUM_SPECIAL, SPECIAL_NAMES, START
from dlplug.nn.absent import IGNORED, PADDING, UNKNOWN


def test_the_ignored_target_is_torchs():
    """Its cross-entropy leaves the same number out by default."""
    assert inspect.signature(F.cross_entropy).parameters["ignore_index"].default == IGNORED


def test_the_special_tokens_come_first():
    """Each has a name, in the order of the tokens."""
    assert list(range(NUM_SPECIAL)) == [PADDING, UNKNOWN, START, END, MASK]
    assert len(SPECIAL_NAMES) == NUM_SPECIAL


def test_no_other_module_defines_them():
    """A second definition could come to differ."""
    names = {"PADDING", "UNKNOWN", "IGNORED"}
    found = {
        path.name
        for path in Path(dlplug.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names
    }
    assert found == {"absent.py"}
