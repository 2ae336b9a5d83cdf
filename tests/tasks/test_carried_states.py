"""States carried from batch to batch: what is saved of them, and who gets it back."""

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from dlplug.architectures.recurrent import GRU
from dlplug.optim import FusedAdamW
from dlplug.run.quiet import quiet
from dlplug.tasks.carried_states import carried_states, restore_states
from dlplug.tasks.classification import Classification


def network():
    return GRU(2, num_features=1, dim=4, stateful=True)


def test_only_what_is_carried_is_saved():
    """Nothing of models without such states; those of one process by module name."""
    assert carried_states(nn.Linear(1, 1)) is None
    model = nn.ModuleDict({"a": network(), "b": network(), "c": nn.Linear(1, 1)})
    assert carried_states(model) == [{}]
    model["b"](torch.ones(3, 5, 1))
    (saved,) = carried_states(model)
    assert list(saved) == ["b"] and saved["b"].shape == (1, 3, 4)
    assert not saved["b"].requires_grad


def test_each_process_gets_its_own():
    """Of as many processes; of another number, none gets any."""
    states = [{"a": torch.full((1, 3, 4), rank)} for rank in (1.0, 2.0)]
    model = nn.ModuleDict({"a": network()})
    restore_states(model, states, 0, 1)
    assert model["a"].training_state() is None
    restore_states(model, states, 1, 2)
    assert model["a"].training_state() is states[1]["a"]


@pytest.mark.parametrize("rows", [3, 2])
def test_a_checkpoint_within_an_epoch_is_of_use_in_any_batch_size(tmp_path, rows):
    """To test a model, and to train it further: a new epoch starts from nothing."""

    def loader(size):
        return DataLoader([(torch.ones(size, 5, 1), torch.ones(size).long())] * 3, batch_size=None)

    def trainer(**arguments):
        return lightning.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **arguments,
        )

    def task():
        return Classification(network(), nn.CrossEntropyLoss(), optimizer=FusedAdamW)

    path = tmp_path / "last.ckpt"
    with quiet():
        first = trainer(max_steps=2, limit_val_batches=0)
        first.fit(task(), loader(3), loader(3))
        first.save_checkpoint(path)
        content = torch.load(path, weights_only=True)
        assert content["carried_states"][0]["architecture"].shape == (1, 3, 4)
        trainer().test(task(), loader(rows), ckpt_path=path, verbose=False, weights_only=True)
        started = task()
        started.load_state_dict(content["state_dict"])
        trainer(max_epochs=1, limit_val_batches=0).fit(started, loader(rows), loader(rows))
