"""The experiment of `make fit` trains on the compiled kernels."""

from pathlib import Path

import pytest
import torch

from dlplug import ops
from dlplug.config import load
from dlplug.plugin import Registry

CONFIG = Path(__file__).parents[1] / "configs/mnist_vit.yaml"
KERNELS = {
    "dlplug::attention_forward",
    "dlplug::attention_backward",
    "dlplug::adamw_tables_",
}


def kernels_of_a_step(mode: str) -> set[str]:
    """The ops of dlplug that one training step of the config dispatches."""
    experiment = load([CONFIG], [], Registry.discover(allow=["dlplug"]))
    torch.manual_seed(0)
    task, data = experiment.build_task(), experiment.datamodule
    data.setup("fit")
    inputs, labels = next(iter(data.train_dataloader()))
    optimizer = experiment.parts["optimizer"].build()(task.parameters())
    with ops.use_backend(mode), torch.profiler.profile() as profile:
        task.loss(task(inputs), labels).backward()
        optimizer.step()
    return {event.key for event in profile.key_averages() if event.key.startswith("dlplug::")}


@pytest.mark.skipif(not ops.isas(), reason="no compiled CPU kernels on this machine")
def test_a_step_runs_attention_and_adamw_natively():
    """At the config's own sizes; for norms of so few elements PyTorch's are as fast."""
    assert kernels_of_a_step("auto") >= KERNELS


def test_the_reference_backend_runs_none_of_them():
    """The probe above can fail."""
    assert not kernels_of_a_step("reference") & KERNELS
