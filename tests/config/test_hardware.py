"""Devices, precision and strategy against this machine."""

import pytest
import torch

from dlplug.config.hardware import available_accelerators, check_hardware
from dlplug.errors import InvalidValueError


def refused(**arguments):
    with pytest.raises(InvalidValueError) as caught:
        check_hardware(arguments, lambda key: f"a.yaml, line 1, {key}")
    return caught.value


@pytest.fixture
def cpu_only(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("name", ["gpu", "cuda", "mps"])
def test_a_gpu_that_is_not_there_is_refused(cpu_only, name, monkeypatch):
    """With the reason, what there is, and the way out."""
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    reason = (
        "this machine has no Apple GPU that torch can use"
        if name == "mps"
        else f"torch {torch.__version__} is built without GPU support"
    )
    assert str(refused(accelerator=name)) == (
        f"trainer.accelerator is '{name}', and {reason}\n"
        "  where: a.yaml, line 1, trainer.accelerator\n"
        "  known: here: cpu\n"
        "  fix:   --trainer.accelerator cpu, or auto for the best one there is"
    )


def test_a_missing_driver_is_told_from_a_build_without_cuda(cpu_only, monkeypatch):
    """The reason decides what the user has to install."""
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "torch finds no GPU or driver on this machine" in refused(accelerator="gpu").what


def test_unknown_names_get_the_nearest(cpu_only):
    """Accelerators and strategies."""
    error = refused(accelerator="gpuu")
    assert (error.what, error.fix) == ("no accelerator named 'gpuu'", "did you mean 'gpu'?")
    assert error.known == "auto, gpu, cpu, cuda, mps, tpu"
    error = refused(strategy="dpp")
    assert (error.what, error.fix) == ("no strategy named 'dpp'", "did you mean 'ddp'?")
    assert "fsdp2" in error.known and "deepspeed" in error.known


@pytest.mark.parametrize("precision", ["16-mixed", "16", 16])
@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_half_precision_on_a_cpu_is_refused(cpu_only, precision, accelerator):
    """Lightning would take bf16-mixed without a word."""
    error = refused(precision=precision, accelerator=accelerator)
    assert str(error) == (
        f"trainer.precision {precision} needs a GPU: a CPU has no loss scaling for float16\n"
        "  where: a.yaml, line 1, trainer.precision\n"
        "  known: on a CPU: 32-true, bf16-mixed, bf16-true, 64-true\n"
        "  fix:   --trainer.precision bf16-mixed"
    )


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed_stage_2"])
def test_strategies_for_gpus_are_refused_on_a_cpu(cpu_only, strategy):
    """fsdp2 works on a CPU, fsdp does not."""
    error = refused(strategy=strategy)
    assert error.what == f"trainer.strategy '{strategy}' needs GPUs, and training runs on the CPU"


@pytest.mark.parametrize("devices", [0, -1, "x", [0], [], "0"])
def test_devices_of_a_cpu_are_a_number(cpu_only, devices):
    """Of processes."""
    error = refused(devices=devices, accelerator="cpu")
    assert error.what == (
        f"trainer.devices is {devices!r}; on a CPU it is a number of processes, 1 or more"
    )


@pytest.mark.parametrize("devices", [3, "3", [0, 2], "0,2", 0, []])
def test_more_gpus_than_there_are_is_refused(two_gpus, devices):
    """As a number, a list, or the text of one."""
    assert str(refused(devices=devices, accelerator="cuda")) == (
        f"trainer.devices is {devices!r}, and this machine has 2 GPUs\n"
        "  where: a.yaml, line 1, trainer.devices\n"
        "  known: a number from 1 to 2, or a list of indices from 0 to 1\n"
        "  fix:   --trainer.devices 2, or auto"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"accelerator": "gpu", "devices": 2, "precision": "16-mixed", "strategy": "fsdp"},
        {"devices": [1]},
        {"devices": -1, "strategy": "fsdp2"},
        {"accelerator": "cpu", "devices": 4, "strategy": "ddp"},
    ],
)
def test_what_the_machine_has_passes(two_gpus, arguments):
    """Nothing is refused that works."""
    check_hardware(arguments, str)


@pytest.mark.parametrize("devices", [3, "3", -1, [1], "0,1"])
def test_what_runs_on_one_device_asks_for_no_more(two_gpus, devices):
    """Of a number one is enough; those that are named have to be there."""
    check_hardware({"devices": devices, "strategy": "fsdp"}, str, one_device=True)
    for missing in (0, [2], "0,2"):
        with pytest.raises(InvalidValueError, match="this machine has 2 GPUs"):
            check_hardware({"devices": missing}, str, one_device=True)


def test_one_device_needs_no_strategy(cpu_only):
    """A model that was trained in shards on GPUs is used on a CPU."""
    check_hardware({"strategy": "deepspeed_stage_2"}, str, one_device=True)
    with pytest.raises(InvalidValueError, match="no strategy named 'dpp'"):
        check_hardware({"strategy": "dpp"}, str, one_device=True)


def test_objects_are_left_to_lightning(cpu_only):
    """A class path stands as a mapping."""
    check_hardware({"accelerator": {"class_path": "x"}, "strategy": {"class_path": "y"}}, str)
    assert available_accelerators() == ["cpu"]
