"""States that networks carry from batch to batch: within an epoch, and not beyond it."""

import lightning
import torch
from torch.utils.data import DataLoader

from dlplug.architectures.recurrent import GRU
from dlplug.optim import FusedAdamW
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification


class Watched(GRU):
    """Notes what each batch goes on from, by mode."""

    def __init__(self):
        super().__init__(2, num_features=1, dim=4, stateful=True)
        self.seen = []

    def forward(self, x):
        state = self._states.get(self.training)
        self.seen.append((self.training, None if state is None else float(state.abs().sum())))
        assert state is None or not state.requires_grad
        return super().forward(x)


def loader():
    batch = torch.ones(3, 5, 1), torch.tensor([0, 1, 1])
    return DataLoader([batch] * 3, batch_size=None)


def test_states_live_for_one_epoch():
    """Two epochs of three batches with a validation after every second one; then predictions.

    The state is carried, detached, within an epoch; a validation in its middle neither uses nor
    changes it.
    """
    network = Watched()
    task = Classification(network, torch.nn.CrossEntropyLoss(), optimizer=FusedAdamW)
    with quiet():
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            val_check_interval=2,
            limit_val_batches=2,
            num_sanity_val_steps=0,
        )
        trainer.fit(task, loader(), loader())
        epoch = [(True, False), (True, True), (False, False), (False, True), (True, True)]
        carried = [(training, state is not None) for training, state in network.seen]
        assert carried == epoch * 2
        # The state after the second batch is not that of the validation in between.
        assert network.seen[4][1] != network.seen[3][1]
        network.seen.clear()
        trainer.predict(task, loader())
    assert network.seen == [(False, None)] * 3
