"""Requirements that are not installed, and the markers under which they hold."""

import pytest
from packaging.markers import Marker

from dlplug.plugin.requirements import _applies, missing_requirements

NOTHING_INSTALLED = {"is_installed": lambda name: False}


def missing(requires, extra=None, installed=()):
    return missing_requirements("acme", requires, extra, lambda name: name in installed)


def test_a_requirement_is_missing_when_nothing_of_that_name_is_installed():
    """Versions, extras and URLs of a requirement play no role; its name does."""
    requires = ["torch>=2", "Foo_Bar[x]", "baz @ https://example.org/baz.whl", "numpy (>=1)"]
    assert missing(requires, installed=("torch", "numpy")) == ["Foo_Bar", "baz"]


def test_requirements_of_an_extra_count_for_that_extra_only():
    """Without the extra they are not needed; with it, the distribution's own are not repeated."""
    requires = ["torch", 'onnx; extra == "onnx"', "rich; extra == 'pretty'"]
    assert missing(requires) == ["torch"]
    assert missing(requires, "onnx") == ["onnx"]


def test_names_of_extras_compare_normalised():
    """``[Fast_Math]`` is the extra ``fast-math``."""
    assert missing(['numba; extra == "fast-math"'], "Fast_Math") == ["numba"]


def test_an_extra_may_consist_of_the_distribution_s_other_extras():
    """``acme[all]`` lists ``acme[onnx]``; a circle of extras ends."""
    requires = [
        'acme[onnx]; extra == "all"',
        'acme[all]; extra == "onnx"',
        'onnx; extra == "onnx"',
    ]
    assert missing(requires, "all") == ["onnx"]


def test_a_marker_that_does_not_hold_here_asks_for_nothing():
    """A requirement for another system or Python is not missing."""
    requires = [
        "pywin32; sys_platform == 'win32'",
        "tomli; python_version < '3.11' and extra == 'x'",
        "old; python_version < '3.0'",
        "new; python_version >= '3.10'",
    ]
    assert missing(requires) == ["new"]


@pytest.mark.parametrize(
    "marker",
    [
        'python_version < "3.9"',
        'python_version >= "3.10"',
        'python_version == "3.10.0"',
        'python_version > "3.9" and python_version < "4"',
        'python_full_version >= "3.10.0"',
        'sys_platform == "linux" or sys_platform == "darwin"',
        'sys_platform != "win32"',
        '(os_name == "posix" and platform_system == "Linux") or extra == "x"',
        'extra == "x"',
        'extra == "y" and python_version >= "3"',
        'platform_machine in "x86_64 aarch64"',
        '"linux" in sys_platform',
        'platform_python_implementation == "CPython"',
        'implementation_name not in "pypy"',
        "python_version not in '3.0 3.1'",
    ],
)
@pytest.mark.parametrize("extra", ["", "x"])
def test_markers_are_read_as_packaging_reads_them(marker, extra):
    """The small reader agrees with the reference implementation of PEP 508."""
    assert _applies(marker, extra) == Marker(marker).evaluate({"extra": extra})


@pytest.mark.parametrize("marker", ["???", "extra === 'x'", "unknown_name == 'x'", "f() == 'x'"])
def test_an_unreadable_marker_asks_for_nothing(marker):
    """Nobody is turned away because of a marker that cannot be read."""
    assert _applies(marker, "x") is False
