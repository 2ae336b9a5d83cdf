"""Profile: shares of the time, memory, modules."""

import pytest

from dlplug.diagnostics.parts_clock import PARTS, part_of
from dlplug.diagnostics.profiling import hints_of, profile
from dlplug.errors import InvalidValueError


def test_a_training_is_measured(experiment, tmp_path):
    """Every part, the memory as it can be counted by hand, each module once; no file is left."""
    found = profile(experiment(("callbacks", "[ema]")), steps=4)
    assert (found.steps, found.batch_size, found.device) == (4, 32, "cpu")
    assert set(found.parts) == set(PARTS)
    assert all(found.parts[part] > 0 for part in ("data", "forward", "backward", "optimizer"))
    assert found.step_seconds == pytest.approx(sum(found.parts.values()))
    numbers = 64 * 16 + 16 + 16 * 10 + 10
    assert found.memory["parameters"] == found.memory["gradients"] == 4 * numbers
    assert found.memory["optimizer"] >= 8 * numbers
    assert sum(cost.parameters for cost in found.modules) == numbers
    names = [cost.name for cost in found.modules]
    assert len(names) == len(set(names)) and "layers.1" in names and "MLP" in names
    first = next(cost for cost in found.modules if cost.name == "layers.1")
    # The batch of 32 records with 64 numbers each, for the gradient of the weights.
    assert first.kept_bytes == 4 * 32 * 64 and first.seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_callbacks_that_write_leave_nothing(experiment, tmp_path):
    """Pictures and files of the config's callbacks go; those that write checkpoints stay out."""
    writing = experiment(
        ("callbacks", "[weight_histograms, snapshot_ensemble, checkpoint]"),
        ("scheduler", "{name: cosine_cycles, cycles: 2}"),
    )
    assert profile(writing, steps=2).steps == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("action", "part"),
    [
        ("[_TrainingEpochLoop].train_dataloader_next", "data"),
        ("[Strategy]SingleDeviceStrategy.batch_to_device", "transfer"),
        ("[Strategy]SingleDeviceStrategy.training_step", "forward"),
        ("[Strategy]SingleDeviceStrategy.backward", "backward"),
        ("[LightningModule]Classification.optimizer_step", "optimizer"),
        ("[Callback]EMA.on_before_optimizer_step", "callbacks"),
        ("run_training_epoch", "outer"),
        ("something", "rest"),
    ],
)
def test_lightnings_names_are_sorted(action, part):
    """What it calls its actions."""
    assert part_of(action) == part


def test_much_time_for_data_is_told(experiment):
    """With the setting that helps."""
    parts = dict.fromkeys(PARTS, 0.0) | {"data": 0.6, "forward": 0.4}
    assert hints_of(parts, experiment()) == [
        "60% of the time goes into data: raise data.num_workers (now 0), or make the transforms"
        " cheaper"
    ]
    assert hints_of(dict.fromkeys(PARTS, 0.0) | {"forward": 1.0}, experiment()) == []


def test_a_value_out_of_range_is_refused():
    """The message holds it."""
    with pytest.raises(InvalidValueError, match="steps = 0"):
        profile(None, steps=0)
