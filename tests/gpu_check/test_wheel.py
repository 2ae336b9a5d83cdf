"""A wheel that was carried to a machine with a GPU."""

import json
import zipfile
from pathlib import Path

import pytest

import dlplug
from dlplug import ops
from tests.gpu_check import wheel

PACKAGE = Path(dlplug.__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels here")
@pytest.mark.parametrize(
    ("change", "code", "told"),
    [({}, 0, "ops by the wheel's kernels under torch"), ({"sources": "x"}, 1, "other sources")],
)
def test_its_kernels_are_called_and_come_from_these_sources(change, code, told, tmp_path, capfd):
    """The package of this checkout, packed; one of other sources proves nothing."""
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as packed:
        for path in PACKAGE.rglob("*"):
            if path.name != "build_info.json" and path.suffix in (".py", ".so", ".json", ".yaml"):
                packed.write(path, path.relative_to(PACKAGE.parent))
        info = json.loads((PACKAGE / "_native" / "build_info.json").read_text()) | change
        packed.writestr("dlplug/_native/build_info.json", json.dumps(info))
    assert wheel.main(str(tmp_path / "some.whl")) == code
    captured = capfd.readouterr()
    assert told in captured.out + captured.err
