"""The switch for torch.compile."""

import dlplug_example_hooks.compilation as module
import pytest
import torch
from dlplug_example_hooks.compilation import VARIABLE, dlplug_health, dlplug_model_built


@pytest.fixture(autouse=True)
def switched_off(monkeypatch):
    """No backend is chosen unless the test does."""
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def model():
    """A small network."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.Linear(4, 2))


@pytest.mark.parametrize("value", [None, "", " "])
def test_without_a_backend_nothing_happens(model, monkeypatch, value):
    """Unset and empty mean off."""
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    monkeypatch.setattr(torch.nn.Module, "compile", None)  # calling it would raise
    assert dlplug_model_built(model) is None
    assert dlplug_health() == [
        ("torch.compile", True, "off; DLPLUG_COMPILE=inductor switches it on")
    ]


def test_the_model_is_compiled_in_place(model, monkeypatch):
    """Names in the checkpoint and results stay; the module is compiled."""
    monkeypatch.setenv(VARIABLE, "eager")
    names, x = list(model.state_dict()), torch.randn(5, 3)
    expected = model(x)
    dlplug_model_built(model)
    assert model._compiled_call_impl is not None
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(x), expected)
    assert dlplug_health() == [("torch.compile", True, "on, backend eager")]


def test_an_unknown_backend_is_refused(model, monkeypatch):
    """Before training, and in the health check, with those that are known."""
    monkeypatch.setenv(VARIABLE, "inductr")
    with pytest.raises(ValueError, match=r"'inductr' is no backend; known: .*inductor"):
        dlplug_model_built(model)
    ((_, passed, detail),) = dlplug_health()
    assert (passed, "inductr" in detail) == (False, True)


def test_a_missing_compiler_is_told(monkeypatch):
    """inductor writes C++, which somebody has to compile."""
    monkeypatch.setenv(VARIABLE, "inductor")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert dlplug_health()[0][1:] == (
        False,
        "inductor needs a C++ compiler; none is on the PATH",
    )
