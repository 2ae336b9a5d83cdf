"""A GPU, through Lightning: generate; DDP and FSDP2 in one process, with collectives of NCCL."""

import pytest

from dlplug import config
from dlplug.run.generation import generate_text, one_device
from tests.gpu_check.train import losses
from tests.ops.gpu import needs_gpu
from tests.run.test_generation import trained

pytestmark = needs_gpu


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_group_of_one_trains_what_one_process_does(strategy, tmp_path):
    """With clipping and averages; float32 rounds alike but for the order of the norm's sum."""

    def trained(name):
        words = ("--trainer.strategy", name, "--trainer.max_epochs", "2")
        return losses(tmp_path / name, "32-true", "gpu", "cuda", *words)

    expected = trained("auto")
    assert len(expected) == 2 and expected[1] < expected[0]
    assert trained(strategy) == pytest.approx(expected, rel=1e-3)


def test_a_language_model_writes(tmp_path):
    """The same text as on the CPU, by the likeliest tokens."""
    run, here = trained(tmp_path, "causal")
    spec = here.data_spec
    experiment = config.load([run.resolved], [("trainer.accelerator", "cuda")], data_spec=spec)
    assert generate_text(experiment, run.weights, "str", temperature=0).text == "aße"
    assert one_device(experiment).device.type == "cuda"
