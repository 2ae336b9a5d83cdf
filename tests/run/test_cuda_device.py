"""DDP and FSDP2 on a GPU, through Lightning: one process, whose collectives are NCCL's."""

import pytest

from tests.gpu_check.train import losses
from tests.ops.gpu import needs_gpu

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
