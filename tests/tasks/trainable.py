"""A network to spoil, and what looks at it before a training."""

import lightning
from torch import nn

from dlplug.data.digits import Digits
from dlplug.data.spec import DataSpec
from dlplug.losses.cross_entropy import CrossEntropyLoss
from dlplug.run.preflight import preflight
from dlplug.run.quiet import quiet
from dlplug.tasks.classification import Classification


class Net(nn.Module):
    """A linear network, which tests spoil or change."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        """Scores."""
        return self.layer(x)


def check(model=None, loss=None, kind=Classification, **data):
    """The task, after the pre-flight."""
    loss = loss or CrossEntropyLoss()
    task = kind(model or Net(), loss, data_spec=DataSpec(num_classes=10))
    digits = Digits(flatten=True, **data)
    digits.setup("fit")
    with quiet():
        trainer = lightning.Trainer(accelerator="cpu", logger=False)
    preflight(task, digits, trainer, "architecture a, data b")
    return task
