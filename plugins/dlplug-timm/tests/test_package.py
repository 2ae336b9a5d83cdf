"""The package as dlplug sees it once it is installed."""

import sys

import pytest
import torchvision

from dlplug.cli import main
from dlplug.plugin import Registry

INSTALLED = "dlplug-timm" in [plugin.name for plugin in Registry.discover().plugins()]
needs_installation = pytest.mark.skipif(
    not INSTALLED, reason="pip install --no-build-isolation -e . first"
)


@needs_installation
def test_a_wrong_name_ends_with_the_nearest(capsys):
    """One message, and the exit code of a wrong config."""
    assert main(["fit", "--architecture", "timm.resnett18", "--data", "digits"]) == 2
    told = capsys.readouterr().err
    assert "no architecture named 'timm.resnett18'" in told
    assert "did you mean 'timm.resnet18'" in told and "timm.* (1," in told


@needs_installation
def test_a_wrong_file_ends_with_the_place(tmp_path, monkeypatch, capsys):
    """The config's line is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(
        "data: digits\narchitecture:\n  name: timm.test_resnet\n  weights: missing.pth\n"
    )
    assert main(["fit", "--config", "x.yaml"]) == 2
    assert "no weights file 'missing.pth'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_health_tells_what_torchvision_can_do(monkeypatch):
    """A torchvision of another build is no fault: the models need none of its ops."""
    from dlplug_timm.health import dlplug_health

    for has_ops, detail in ((True, "all of it"), (False, "do not fit this torch")):
        monkeypatch.setattr(torchvision.extension, "_has_ops", lambda value=has_ops: value)
        (_, is_timm, about), (_, is_vision, told) = dlplug_health()
        assert is_timm and is_vision and detail in told and "models" in about


def test_a_missing_timm_is_a_failed_check(monkeypatch):
    """The doctor says so and goes on."""
    from dlplug_timm.health import dlplug_health

    monkeypatch.setitem(sys.modules, "timm", None)
    ((name, passed, detail),) = dlplug_health()
    assert (name, passed) == ("timm", False) and "timm" in detail
