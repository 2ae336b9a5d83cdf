"""One stem per op, everywhere: `ls` tells what exists."""

from pathlib import Path

import pytest

from dlplug.ops._backend import OPS

ROOT = Path(__file__).parents[2]
STEMS = sorted(name.rstrip("_") for name in OPS)
PLACES = [
    "dlplug/ops/{}.py",
    "dlplug/ops/fallback/{}.py",
    "csrc/ops/{}.h",
    "csrc/cpu/{}.cpp",
    "tests/ops/test_{}.py",
]


@pytest.mark.parametrize("stem", STEMS)
def test_every_op_has_all_its_files(stem):
    """Public function, reference, declaration, host code and tests exist under the op's name."""
    missing = [place.format(stem) for place in PLACES if not (ROOT / place.format(stem)).is_file()]
    assert missing == []


def test_every_declaration_belongs_to_an_op():
    """No header in csrc/ops is left over from an op that is gone."""
    assert sorted(path.stem for path in (ROOT / "csrc" / "ops").glob("*.h")) == STEMS


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_everything_in_the_tables_is_declared_and_defined(device):
    """A kernel in a registration table has its op's header included and its file compiled."""
    table = (ROOT / "csrc" / "registration" / f"{device}.cpp").read_text()
    suffix = {"cpu": "cpp", "cuda": "cu"}[device]
    for path in (ROOT / "csrc" / "ops").glob("*.h"):
        is_included = f'"csrc/ops/{path.name}"' in table
        assert is_included == (ROOT / f"csrc/{device}/{path.stem}.{suffix}").is_file(), path.stem
